"""What the stored values of masks mean: a table from grey values, palette indices or colours to
labels, as ``values:`` of classes.yaml writes it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from objectives.data.options import LARGEST_LABEL

_GREY = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_COLOUR = re.compile(r"([0-9]{1,3}), ?([0-9]{1,3}), ?([0-9]{1,3})")
_MOST_NAMED = 256  # undeclared values of one mask: the commonest; the others are counted together
OTHERS = "others"
KEY_RULE = (
    f"a key must be a value 0 to {LARGEST_LABEL}, a range like '128-255' or a colour like "
    f"'128,64,128'"
)


class LabelsRead(NamedTuple):
    """A mask by a table: its labels, 0 where a value is not declared, and how many pixels have each
    such value.
    """

    labels_HW: np.ndarray  # uint8 or uint16
    undeclared: dict[str, int]


@dataclass(frozen=True)
class Values:
    """Which label each stored value means, as pairs of key and label; without any, a value is its
    own label.

    Keys are grey values ``255``, ranges of them ``128-255`` (both ends count), or colours
    ``128,64,128``, never grey and colours in one table.
    """

    entries: tuple[tuple[str, int], ...] = ()

    @property
    def by_colour(self) -> bool:
        """Whether colours are what is looked up."""
        return bool(self.entries) and "," in self.entries[0][0]

    @property
    def covers_bytes(self) -> bool:
        """Whether each of 0..255 means something, so that a value may be a little off."""
        return not self.by_colour and bool(self.entries) and bool((self._grey[:256] >= 0).all())

    def read(self, stored: np.ndarray) -> LabelsRead:
        """Return a mask's labels: of whole numbers 0..65535 (H, W), or of colours (H, W, 3) uint8.

        Greys are colours, too, where colours are looked up; colours have no grey value.
        """
        if stored.ndim == 3 and not self.by_colour:
            return LabelsRead(np.zeros(stored.shape[:2], np.uint8), _counted(_codes(stored), ","))
        if not self.entries:
            return LabelsRead(_narrow(stored), {})
        if self.by_colour:
            if stored.ndim == 2:
                stored = np.stack([stored] * 3, axis=2)
            codes_HW = _codes(stored)
            known, labels = self._colours
            places = np.searchsorted(known, codes_HW).clip(max=len(known) - 1)
            found_HW = np.where(known[places] == codes_HW, labels[places], -1)
        else:
            codes_HW = stored
            found_HW = self._grey[stored]
        unknown = found_HW < 0
        undeclared = _counted(codes_HW[unknown], "," * self.by_colour) if unknown.any() else {}
        return LabelsRead(_narrow(np.where(unknown, 0, found_HW)), undeclared)

    def completed(self, labels: Iterable[int], ignored: int | None) -> "Values":
        """Return the table in which a label that no value leads to stands for itself, where that
        value is free, and the ignored one in any case; a table of colours stays as it is.
        """
        if not self.entries or self.by_colour:
            return self
        led_to = {label for _, label in self.entries} - {ignored}
        free = [label for label in labels if label not in led_to and self._grey[label] < 0]
        return Values((*self.entries, *((str(label), label) for label in free)))

    @cached_property
    def _grey(self) -> np.ndarray:
        """Label of each value 0..65535, -1 for none."""
        table = np.full(LARGEST_LABEL + 1, -1, np.int32)
        for key, label in self.entries:
            first, last = grey_range(key)
            table[first : last + 1] = label
        return table

    @cached_property
    def _colours(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes of the colours, ascending, and their labels."""
        known = sorted((_code(colour_of(key)), label) for key, label in self.entries)
        return np.array([code for code, _ in known]), np.array([label for _, label in known])


AS_STORED = Values()  # each value is its own label


def is_colour(key: str) -> bool:
    """Return whether a key is a colour."""
    match = _COLOUR.fullmatch(key)
    return match is not None and all(int(part) <= 255 for part in match.groups())


def is_grey(key: str) -> bool:
    """Return whether a key is a value or a range of values."""
    if not (match := _GREY.fullmatch(key)):
        return False
    first, last = int(match[1]), int(match[2] or match[1])
    return first <= last <= LARGEST_LABEL


def colour_of(key: str) -> tuple[int, int, int]:
    """Return the red, green and blue of such a key."""
    red, green, blue = (int(part) for part in key.split(","))
    return red, green, blue


def grey_range(key: str) -> tuple[int, int]:
    """Return the first and last value of such a key."""
    first, _, last = key.partition("-")
    return int(first), int(last or first)


def key_problems(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each rule that the keys of a table break together, and the value that breaks it."""
    well_formed = []
    for key in keys:
        if is_colour(key) or is_grey(key):
            well_formed.append(key)
        else:
            yield KEY_RULE, repr(key)
    colours = [key for key in well_formed if is_colour(key)]
    greys = sorted((grey_range(key), key) for key in well_formed if not is_colour(key))
    if colours and greys:
        yield "keys must be all grey values or all colours", f"{colours[0]!r} and {greys[0][1]!r}"
    last = -1, ""
    for (first, until), key in greys:
        if first <= last[0]:
            yield "a value must have one label", f"{last[1]!r} and {key!r}"
        last = max(last, (until, key))
    seen: dict[int, str] = {}
    for key in colours:
        code = _code(colour_of(key))
        if code in seen:
            yield "a value must have one label", f"{seen[code]!r} and {key!r}"
        seen[code] = key


def shown_colour(key: str) -> str:
    """Return a grey value as the colour that it is; colours stay."""
    return key if "," in key else ",".join([key] * 3)


def _code(colour: tuple[int, int, int]) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _codes(colours_HWC: np.ndarray) -> np.ndarray:
    """Return one number for each colour."""
    wide = colours_HWC.astype(np.int64)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])


def _counted(codes: np.ndarray, separator: str) -> dict[str, int]:
    """Return how many pixels have each value, the commonest first."""
    values, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    named = {
        _shown(int(values[place]), separator): int(counts[place]) for place in order[:_MOST_NAMED]
    }
    rest = int(counts[order[_MOST_NAMED:]].sum())
    return named | ({OTHERS: rest} if rest else {})


def _shown(code: int, separator: str) -> str:
    if not separator:
        return str(code)
    return separator.join(str(part) for part in (code >> 16, code >> 8 & 255, code & 255))


def _narrow(labels_HW: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(labels_HW, np.uint8 if labels_HW.max() < 256 else np.uint16)
