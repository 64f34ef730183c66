"""What a network must know of the data: the frame's size and scaling, and the classes. Travels
inside the bundle.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from objectives.config import Frozen
from objectives.config.measures import measure_named
from objectives.config.score import IOU, Score
from objectives.data.options import LARGEST_LABEL, MOST_OVERLAP, Channels, Exif, PixelReading
from objectives.data.values import Values, key_problems
from objectives.errors import ProblemsError
from objectives.statistics.scores import Scoring
from objectives.windows.layout import Windows

MOST_LABELS = 256  # masks are kept as uint8
Colour = tuple[int, int, int]  # red, green, blue in 0..255


def _is_none(value: object) -> bool:
    """Return whether a field is that of studies of before there was a choice."""
    return value is None


def _is_empty(value: object) -> bool:
    """Return whether a field says nothing: what was stored before there was such a field stays as
    it is.
    """
    return not value


class FrameSpec(Frozen):
    """Shape, scaling and classes of what a network sees of the frames of one study.

    A raw pixel p becomes ``(p / max_value - mean[c]) / std[c]``; mean, std and ranges come from the
    training part alone. Labels are 0..K-1 in the order of ``class_names``; pixels of
    ``ignore_label`` are neither trained on nor scored, and only ``scored`` labels are ever
    predicted.
    """

    height: int = Field(ge=1, le=65535)
    width: int = Field(ge=1, le=65535)
    channels: int = Field(ge=1, le=65535)
    max_value: Literal[255, 65535]  # of 8-bit and 16-bit frames
    mean: tuple[float, ...]  # one per channel, of pixels scaled to 0..1
    std: tuple[Annotated[float, Field(gt=0.0)], ...]
    # that each channel's pixels use, in 0..1; empty in bundles of before: all
    ranges: tuple[tuple[float, float], ...] = ()
    class_names: tuple[str, ...] = Field(min_length=2, max_length=MOST_LABELS)
    colours: tuple[Colour, ...]
    ignore_label: int | None
    scored: tuple[int, ...] = Field(min_length=1)
    # the ignored label as mask files write it; not known to older bundles
    raw_ignore: int | None = Field(None, ge=0)
    exif: Exif = "turn"  # what an orientation tag does to the pixels of a file: see DataOptions
    # the score, see `Score`, and the package that brings its measure
    measure: str = IOU
    measure_package: str = Field("", max_length=200)
    # which label each stored value of mask files means, see `Values`; none: each its own
    values: tuple[tuple[str, int], ...] = Field((), exclude_if=_is_empty)
    # see `PixelReading`
    convert: Channels = Field("", exclude_if=_is_empty)
    pixel_range: tuple[float, float] | None = Field(None, exclude_if=_is_empty)
    # of a window's side that neighbours share, where frames keep their sizes and are seen in windows
    # of ``height`` and ``width``; None: all frames are of that size, or made so
    overlap: float | None = Field(None, ge=0.0, le=MOST_OVERLAP, exclude_if=_is_none)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError("mean and std must have one value for each channel")
        if self.ranges and len(self.ranges) != self.channels:
            raise ValueError("ranges must have one pair for each channel, or be empty")
        if not all(0.0 <= low < high <= 1.0 for low, high in self.ranges):
            raise ValueError("ranges must be pairs of low and high in 0..1, the low one first")
        if len(self.colours) != self.num_classes or len(set(self.class_names)) != self.num_classes:
            raise ValueError("every class must have a name of its own and a colour")
        if not all(
            0 <= label < self.num_classes for label in (self.ignore_label or 0, *self.scored)
        ):
            raise ValueError(f"ignore_label and scored must be labels 0..{self.num_classes - 1}")
        if problems := [*self.score.class_problems(self.class_names, self.scored)]:
            raise ProblemsError("score", problems)
        for rule, value in key_problems(key for key, _ in self.values):
            raise ValueError(f"values: {rule}, got {value}")
        if self.pixel_range and not self.pixel_range[0] < self.pixel_range[1]:
            raise ValueError("pixel_range must be the lowest and the highest value")
        if not all(0 <= label <= LARGEST_LABEL for _, label in self.values):
            raise ValueError(f"values must lead to labels 0..{LARGEST_LABEL}")
        return self

    @property
    def windows(self) -> Windows | None:
        """How frames are seen in windows; None where they are seen whole."""
        if self.overlap is None:
            return None
        return Windows(self.height, self.width, self.overlap)

    @property
    def reading(self) -> PixelReading:
        """How image files are read for the model."""
        return PixelReading(self.exif, self.convert, self.pixel_range)

    @property
    def mask_values(self) -> Values:
        """How mask files that declare nothing themselves are read."""
        return Values(self.values)

    @property
    def num_classes(self) -> int:
        """K: how many labels there are, the ignored one included."""
        return len(self.class_names)

    @property
    def score(self) -> Score:
        """What a score of these frames is, as it was named."""
        return Score.read(self.measure)

    @property
    def scoring(self) -> Scoring:
        """What a score of these frames is.

        Raises:
            ProblemsError: Its package is not installed.
        """
        score = self.score
        return Scoring(
            self.scored,
            measure_named(score.measure, self.measure_package),
            score.weights(self.class_names),
            score.together,
            score.boundary,
        )

    @property
    def counting(self) -> tuple[int, ...]:
        """The scored labels that count in a score."""
        return tuple(label for label, _ in self.score.weights(self.class_names)) or self.scored

    @property
    def score_words(self) -> str:
        """What a score is, in a few words: ``mean IoU``."""
        return self.score.words

    @property
    def score_title(self) -> str:
        """The same to begin a line with: ``Mean IoU``."""
        return self.score.title


def left_out(spec: FrameSpec, support_K: Sequence[int] | np.ndarray, part: str) -> str:
    """Return what a score leaves out in a part of which so many pixels are of each class; empty for
    nothing.
    """
    counting = spec.counting
    absent = [spec.class_names[label] for label in counting if not support_K[label]]
    if not absent:
        return ""
    verb = "does" if len(absent) == 1 else "do"
    total = len(counting)
    which = "chosen" if spec.score.classes else "scored"
    return (
        f"{spec.score.gathering} over {total - len(absent)} of {total} {which} classes: "
        f"{', '.join(absent)} {verb} not occur in {part}"
    )
