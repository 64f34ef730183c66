"""Stored values of masks that no class has: one problem for each, and the classes.yaml that would
accept them all.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from objectives.data.preparing.marks import examples
from objectives.data.reading.classes import MOST_CLASSES, Classes, numbered_classes
from objectives.data.reading.classes_text import classes_text
from objectives.data.values import OTHERS, colour_of, is_colour, shown_colour
from objectives.errors import Problem

UNDECLARED = (
    "labels that no classes.yaml or class_names declares must run from 0 without gaps, up to 255"
)
_SHOWN = 10  # values that have a problem of their own
# masks of two values with soft edges between: all of so many slices of the range have a value, and
# the two ends, the commonest of all, this share of the pixels
_SLICES = 8
_ENDS = 0.5
_LEAST_RANGE = 64


def accepting(remedy: str) -> str:
    """Return a classes.yaml with a line that says what it is for; empty for none."""
    heading = (
        "# as classes.yaml beside the frames, these lines accept the values (name the classes)"
    )
    return f"{heading}\n{remedy}" if remedy else ""


@dataclass(frozen=True)
class Held:
    """What one mask holds: pixels of each raw label, and of each stored value without one."""

    labels: Mapping[int, int]
    undeclared: Mapping[str, int]

    @classmethod
    def of(cls, labels: Mapping[int, int], undeclared: Mapping[str, int]) -> "Held":
        """Of a mask as read, in which what has no label counts as 0."""
        missing = sum(undeclared.values())
        counts = {label: pixels - missing * (label == 0) for label, pixels in labels.items()}
        return cls({label: pixels for label, pixels in counts.items() if pixels}, undeclared)


def among(classes: Classes) -> str:
    """Return the rule for the values of masks whose classes are declared."""
    return (
        f"labels must be among the {len(classes.names)} classes, or `values:` of classes.yaml must "
        f"lead to one"
    )


@dataclass(frozen=True)
class Undeclared:
    """Values without a label, over all masks."""

    pixels: Mapping[str, int]  # of each value
    places: Mapping[str, Sequence[str]]  # images whose masks hold it
    total: int  # pixels of all masks

    @classmethod
    def of(cls, masks: Mapping[str, Held], classes: Classes) -> "Undeclared":
        """Return what no class has, by the place of each mask's image."""
        pixels = Counter[str]()
        places: dict[str, list[str]] = {}
        total = 0
        for place, held in masks.items():
            outside = {str(label): held.labels[label] for label in classes.outside(held.labels)}
            for value, count in {**held.undeclared, **outside}.items():
                pixels[value] += count
                places.setdefault(value, []).append(place)
            total += sum(held.labels.values()) + sum(held.undeclared.values())
        return cls(dict(pixels.most_common()), places, total)

    def problems(self, rule: str) -> Iterator[Problem]:
        """Yield one for each value, the commonest first, and one for those beyond the first few."""
        shown = [*self.pixels][:_SHOWN]
        for value in shown:
            held = self.places[value]
            where = f"{len(held)} mask{'s' * (len(held) != 1)} (of {examples(held)})"
            yield Problem(f"masks: value {value}", rule, f"{self._share([value])}, in {where}")
        if rest := [*self.pixels][_SHOWN:]:
            yield Problem(f"masks: {len(rest)} more values", rule, self._share(rest))

    def _share(self, values: Sequence[str]) -> str:
        pixels = sum(self.pixels[value] for value in values)
        return f"{pixels / self.total:.2%} of all pixels"

    def remedy(self, declared: Classes | None, masks: Iterable[Held]) -> str:
        """Return the classes.yaml that accepts them, empty where none can.

        Values go to labels that are declared and that nothing has first, then to new ones.
        """
        if OTHERS in self.pixels or not self.pixels:
            return ""
        held = Counter[int]()
        for mask in masks:
            held.update(mask.labels)
        shares = {value: pixels / self.total for value, pixels in self.pixels.items()}
        if declared is None:
            labelled = {str(label): pixels / self.total for label, pixels in held.items()}
            return _numbered(shares | labelled)
        return _extended(declared, shares, held)


def _numbered(shares: Mapping[str, float]) -> str:
    """Return a class for each value; two, where the others are but their soft edge."""
    if any("," in value for value in shares):
        shares = {shown_colour(value): share for value, share in shares.items()}
        if not all(is_colour(value) for value in shares):
            return ""
        order = sorted(shares, key=colour_of)
    else:
        order = sorted(shares, key=int)
        if _are_soft(shares):
            middle = (int(order[0]) + int(order[-1]) + 1) // 2
            halves = ((f"0-{middle - 1}", 0), (f"{middle}-{order[-1]}", 1))
            return classes_text(numbered_classes(2), halves)
    if not 2 <= len(order) < MOST_CLASSES:
        return ""
    entries = tuple((value, label) for label, value in enumerate(order) if value != str(label))
    return classes_text(numbered_classes(len(order)), entries, shares)


def _are_soft(shares: Mapping[str, float]) -> bool:
    """Return whether greys are those of two classes and of a soft edge between them."""
    values = sorted(map(int, shares))
    low, high = values[0], values[-1]
    slices = {(value - low) * _SLICES // (high - low + 1) for value in values}
    common = sorted(shares, key=lambda value: -shares[value])[:2]
    return (
        high - low >= _LEAST_RANGE
        and len(slices) == _SLICES
        and {low, high} == set(map(int, common))
        and sum(shares[value] for value in common) >= _ENDS
    )


def _extended(declared: Classes, shares: Mapping[str, float], held: Mapping[int, int]) -> str:
    entries = declared.values.entries
    coloured = any("," in value for value in shares)
    if entries and coloured != declared.values.by_colour:
        return ""  # what colour the values in the table have, nobody says
    if coloured and not entries:  # masks of one grey alone have shown themselves as labels
        greys = {label: shown_colour(str(label)) for label, pixels in held.items() if pixels}
        entries = tuple((key, label) for label, key in greys.items() if is_colour(key))
        shares = {value: share for value, share in shares.items() if value not in dict(entries)}
    kept = {label for key, label in entries if key != str(label)} | {declared.raw_ignore}
    unused = [label for label in declared.raw_labels if label not in kept and not held.get(label)]
    order = sorted(shares, key=colour_of if coloured else int)
    added = max(0, len(order) - len(unused))
    first = declared.following
    fresh = range(first, first + added)
    if len(declared.names) + added >= MOST_CLASSES or declared.raw_ignore in fresh:
        return ""
    chosen = zip(order, [*unused, *fresh], strict=False)
    return classes_text(declared, (*entries, *chosen), shares, fresh)
