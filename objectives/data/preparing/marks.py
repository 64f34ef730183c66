"""What the files of many frames say beside their pixels, and where that speaks against the use that
is made of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from objectives.data.reading.classes import Classes
from objectives.data.reading.decode import LOSSY_MASK
from objectives.data.reading.frames import Frame
from objectives.data.reading.raster import Tags
from objectives.data.spec import Colour
from objectives.errors import Problem, listed

_LOSSY_RULES = LOSSY_MASK.partition("{")[0]
_SHOWN = 3  # examples named in one line
_NO_DATA_RULE = (
    "the no-data value of a mask (TIFF tag 42113) must be the ignored label; name it "
    "with --ignore, or say --ignore none"
)
_NO_DATA_LABEL = (
    "the no-data value of a mask (TIFF tag 42113) must lead to the ignored label; say `no_data: "
    "ignored` in data.yaml, or --ignore none"
)


@dataclass(frozen=True)
class Marks:
    """What is kept of one frame."""

    image: Tags
    mask: Tags
    labels: tuple[int, ...]  # raw, in the mask
    colours: Mapping[int, Colour]  # in which the mask's file draws them
    pixels: int
    unmeasured: Mapping[int, int]  # raw label -> pixels that the image says are no data
    mask_unmeasured: Mapping[int, int]  # the same of the mask


def marks_of(frame: Frame, labels: tuple[int, ...]) -> Marks:
    """Return what the files of a frame say whose mask holds these raw labels."""
    mask_HW = frame.mask_HW
    return Marks(
        frame.image_tags,
        frame.mask_tags,
        labels,
        frame.colours,
        mask_HW.size,
        _labels_of(mask_HW, frame.unmeasured_HW),
        _labels_of(mask_HW, frame.mask_unmeasured_HW),
    )


def _labels_of(mask_HW: np.ndarray, chosen_HW: np.ndarray | None) -> dict[int, int]:
    """Return how many of the chosen pixels have each label."""
    if chosen_HW is None:
        return {}
    counts = np.bincount(mask_HW[chosen_HW])
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}


def mark_problems(marks: Mapping[str, Marks], classes: Classes, ignore: str) -> Iterator[Problem]:
    """Masks whose no-data value would be learned as a class, by the place of each; ``ignore`` is
    the user's own word.
    """
    places_of = defaultdict(list)
    for place, mark in marks.items():
        value = mark.mask.no_data
        wrong = sorted(mark.mask_unmeasured.keys() - {classes.raw_ignore})
        if not ignore and value is not None and wrong:
            own = wrong == [value]
            shown = f"{value:g}" if own else f"{value:g}, which is label {listed(wrong)}"
            places_of[_NO_DATA_RULE if own else _NO_DATA_LABEL, shown].append(place)
    for (rule, shown), places in places_of.items():
        yield Problem(f"masks of {examples(places)}", rule, shown)


def mark_warnings(marks: Mapping[str, Marks], classes: Classes) -> Iterator[str]:
    """Yield a line for each mark that two habits read differently, so that only the data's owner
    knows which was meant.

    ``marks`` are by the place of the image.
    """
    yield from _turned(marks)
    yield from _transparent(marks)
    yield from _unmeasured(marks, classes)
    yield from _palettes(marks.values())


def _turned(marks: Mapping[str, Marks]) -> Iterator[str]:
    apart = {
        place: mark
        for place, mark in marks.items()
        if mark.image.orientation != mark.mask.orientation
    }
    images = [place for place, mark in apart.items() if mark.mask.orientation == 1]
    masks = [place for place in apart if place not in set(images)]
    what = (
        "look at `search data preview`, and where the two do not lie on one another, take the tag "
        "away; "
        "--exif keep takes the pixels of all files as they lie"
    )
    if images:
        yield (
            f"{len(images)} images are turned by their EXIF tag, their masks are not "
            f"({examples(images)}): {what}"
        )
    if masks:
        yield (
            f"the masks of {len(masks)} images are turned by an orientation tag of their own "
            f"({examples(masks)}): {what}"
        )


def _transparent(marks: Mapping[str, Marks]) -> Iterator[str]:
    for part in ("image", "mask"):
        places = [place for place, mark in marks.items() if getattr(mark, part).transparent]
        if places:
            whose = "images" if part == "image" else "images' masks"
            yield (
                f"{len(places)} {whose} have transparent pixels ({examples(places)}): transparency "
                f"is left out, "
                "what lies below it is trained and scored"
            )


def _unmeasured(marks: Mapping[str, Marks], classes: Classes) -> Iterator[str]:
    by_value: dict[str, dict[str, int]] = defaultdict(dict)
    for place, mark in marks.items():
        used = sum(
            pixels for label, pixels in mark.unmeasured.items() if label != classes.raw_ignore
        )
        if used and mark.image.no_data is not None:
            by_value[_said(mark.image.no_data)][place] = used
    total = sum(mark.pixels for mark in marks.values())
    for value, places in by_value.items():
        yield (
            f"{len(places)} images hold no-data pixels ({value}; "
            f"{examples(list(places))}), "
            f"{sum(places.values()) / total:.1%} of all, under labels that count: they are trained "
            f"and scored as such; "
            "give them the ignored label in the masks"
        )


def _said(value: float) -> str:
    return "not a number" if np.isnan(value) else f"{value:g} by TIFF tag 42113"


def _palettes(marks: Iterable[Marks]) -> Iterator[str]:
    drawn: dict[int, Counter[Colour]] = defaultdict(Counter)
    for mark in marks:
        for label, colour in mark.colours.items():
            drawn[label][colour] += 1
    torn = {label: colours for label, colours in sorted(drawn.items()) if len(colours) > 1}
    for label, colours in list(torn.items())[:_SHOWN]:
        first, *others = (f"{colour} in {count} masks" for colour, count in colours.most_common())
        yield (
            f"label {label} is drawn in {first} and in {listed(others, _SHOWN)}: palette "
            f"indices "
            f"are the labels, not colours"
        )
    if len(torn) > _SHOWN:
        yield f"{len(torn) - _SHOWN} more labels are drawn in several colours, too"


def gathered(problems: Sequence[Problem]) -> list[Problem]:
    """Return the same problems with those of one kind of mask in one: it is the folder's, whichever
    of its files comes first.
    """
    kinds = defaultdict(list)
    others = []
    for problem in problems:
        if problem.rule.startswith(_LOSSY_RULES):
            kinds[problem.rule].append(problem.where)
        else:
            others.append(problem)
    return [
        *(
            Problem("masks", rule, f"{len(places)} ({examples(places)})")
            for rule, places in kinds.items()
        ),
        *others,
    ]


def examples(places: Sequence[str]) -> str:
    """Return the first of many places, and how many more."""
    rest = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"{', '.join(places[:_SHOWN])}{rest}"
