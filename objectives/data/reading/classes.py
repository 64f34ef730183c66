"""Class names, colours, the ignored label and the stored values of labelled frames."""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from objectives.data.spec import Colour
from objectives.data.values import AS_STORED, Values

IGNORED_NAME = "ignored"  # given to an ignored label that classes.yaml does not name
MOST_CLASSES = 256  # masks are kept as uint8
LONGEST_NAME = 100
CLASS_NAME = (
    f"a class name must be text: printable, at most {LONGEST_NAME} characters (quote "
    f"words such as no)"
)


@dataclass(frozen=True)
class Classes:
    """The labels 0..K-1 of stored masks.

    ``raw_ignore`` is the ignored label as mask files write it; often 255, while the stored label is
    at most K-1. Where files write other values, ``values`` leads from them to these labels.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    ignore_label: int | None = None
    raw_ignore: int | None = None
    values: Values = AS_STORED

    def ignoring(self, label: str) -> "Classes":
        """Return the classes with another ignored label, as mask files write it, with none for
        ``none``, or these for an empty one.
        """
        if not label:
            return self
        # a label of its own, beyond the others
        extra = self.ignore_label is not None and self.raw_ignore != self.ignore_label
        count = len(self.names) - extra
        names = self.names[:count]
        colours = self.colours[:count]
        if label == "none":
            return Classes(names, colours, values=self.values)
        if (raw := int(label)) < count:
            return Classes(names, colours, raw, raw, self.values)
        names, colours = (*names, IGNORED_NAME), (*colours, palette(1)[0])
        return Classes(names, colours, count, raw, self.values)

    @property
    def raw_labels(self) -> list[int]:
        """The labels as ``classes.yaml`` writes them, in the order of the names."""
        stored = range(len(self.names))
        return [
            label if label != self.ignore_label or self.raw_ignore is None else self.raw_ignore
            for label in stored
        ]

    @property
    def following(self) -> int:
        """The label that one more class would have."""
        return len(self.names) - (self.raw_ignore != self.ignore_label)

    def outside(self, labels: Iterable[int]) -> list[int]:
        """Return the raw labels that no class has, in ascending order."""
        known = {label for label in range(len(self.names)) if label != self.ignore_label} | {
            self.raw_ignore
        }
        return sorted(label for label in labels if label not in known)

    def encode(self, mask_HW: np.ndarray) -> np.ndarray:
        """Return a raw mask with stored labels, uint8; every raw label must belong to a class."""
        if self.raw_ignore != self.ignore_label:
            mask_HW = np.where(mask_HW == self.raw_ignore, self.ignore_label or 0, mask_HW)
        return mask_HW.astype(np.uint8, copy=False)


def palette(count: int) -> tuple[Colour, ...]:
    """``count`` colours that are easy to tell apart, dark grey first."""
    # the golden ratio spreads neighbours apart
    hues = [(index * 0.618034) % 1.0 for index in range(count - 1)]
    bright = [colorsys.hsv_to_rgb(hue, 0.65, 0.95) for hue in hues]
    return (
        (40, 40, 40),
        *((round(red * 255), round(green * 255), round(blue * 255)) for red, green, blue in bright),
    )


COURSE = Classes(
    ("background", "soil", "bedrock", "sand", "big_rock"),
    ((40, 40, 40), (170, 110, 60), (120, 130, 150), (230, 200, 120), (200, 40, 40)),
    ignore_label=0,
    raw_ignore=0,
)


def numbered_classes(count: int, *, ignore_label: int | None = None) -> Classes:
    """Classes named ``class_0`` .. for labels that nobody has named."""
    return named_classes(
        tuple(f"class_{label}" for label in range(count)), ignore_label=ignore_label
    )


def named_classes(names: tuple[str, ...], *, ignore_label: int | None = None) -> Classes:
    """Classes of these names in label order, with colours of our choice."""
    return Classes(names, palette(len(names)), ignore_label, ignore_label)


def is_class_name(name: object) -> bool:
    """Return whether it can name a class in tables, files and the database."""
    return (
        isinstance(name, str)
        and bool(name.strip())
        and name.isprintable()
        and len(name) <= LONGEST_NAME
    )
