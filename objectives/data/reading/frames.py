"""What every source of labelled frames offers, whichever its format, and the one that
holds arrays.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np

from objectives.data.options import AS_FILES_SAY, PixelReading
from objectives.data.reading.classes import COURSE, Classes, numbered_classes
from objectives.data.reading.conversion import converted
from objectives.data.reading.decode import refuse_undeclared
from objectives.data.reading.raster import RefusalError, Tags
from objectives.data.spec import Colour
from objectives.data.values import AS_STORED, Values
from objectives.errors import Problem, ProblemsError


@dataclass(frozen=True)
class Frame:
    """A labelled frame as read, and what its files say of it."""

    image_HWC: np.ndarray  # uint8 or uint16
    mask_HW: np.ndarray  # raw labels
    image_tags: Tags = field(default_factory=Tags)
    mask_tags: Tags = field(default_factory=Tags)
    # in which the mask's file draws the values that it holds
    colours: dict[int, Colour] = field(default_factory=dict)
    undeclared: dict[str, int] = field(default_factory=dict)  # see `LabelImage`
    unmeasured_HW: np.ndarray | None = None  # see `Picture`
    mask_unmeasured_HW: np.ndarray | None = None  # see `LabelImage`


class FrameSource(Protocol):
    """Labelled frames, read one by one; ``problems`` are those seen when it was opened."""

    @property
    def names(self) -> tuple[str, ...]:
        """One per frame, in a fixed order."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The place of each frame; empty when places are not known."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The part of each frame that its owner has put it in, empty for none; empty when that is
        so of none.
        """

    @property
    def classes(self) -> Classes | None:
        """The declared classes; None when only the labels in the masks tell."""

    def guess(self, count: int) -> Classes:
        """Return the classes to assume for ``count`` labels that nothing declares."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Broken rules that concern no single frame's pixels."""

    @property
    def numbered(self) -> bool:
        """Whether names are just the frames' numbers."""

    @property
    def unwritten(self) -> tuple[str, ...]:
        """Those of data.yaml and classes.yaml that could be written, and are not there."""

    @property
    def layout_text(self) -> str:
        """The data.yaml that says where its files lie; empty where no such file is read."""

    def place(self, index: int) -> str:
        """Return how a problem names this frame."""

    def image(self, index: int) -> np.ndarray:
        """Frame ``index`` as (H, W, C), uint8 or uint16; raises ProblemsError when unreadable."""

    def mask(self, index: int) -> np.ndarray:
        """Return its raw labels as (H, W), uint8 or uint16; raises ProblemsError when unreadable,
        or where a value has no label.
        """

    def frame(self, index: int) -> Frame:
        """Return both at once; raises ProblemsError with the problems of both."""

    @property
    def reading(self) -> PixelReading:
        """How its images are read."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner must know, that breaks no rule."""

    def read_as(self, classes: Classes) -> "FrameSource":
        """Return the same frames, the values of their masks read as those of these classes."""


@dataclass(frozen=True)
class ArraySource:
    """Frames held in memory: ``images`` (N, H, W, C), ``masks`` (N, H, W), or sequences of such of
    one frame.
    """

    images: np.ndarray | Sequence[np.ndarray]
    masks: np.ndarray | Sequence[np.ndarray]
    groups: tuple[str, ...]
    classes: Classes | None
    problems: tuple[Problem, ...] = ()
    numbered: bool = True
    values: Values = AS_STORED
    layout_text: str = ""
    unwritten: tuple[str, ...] = ()
    reading: PixelReading = AS_FILES_SAY
    parts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    places: tuple[str, ...] = ()  # of each frame; empty: in the course's array

    @property
    def names(self) -> tuple[str, ...]:
        """The frames' numbers."""
        return tuple(str(index) for index in range(len(self.images)))

    def guess(self, count: int) -> Classes:
        """Return the course's classes for five labels, numbered ones for any other number; label 0
        is ignored.
        """
        return COURSE if count == len(COURSE.names) else numbered_classes(count, ignore_label=0)

    def place(self, index: int) -> str:
        """Return how a problem names this frame."""
        return self.places[index] if self.places else f"training_set[{index}]"

    def image(self, index: int) -> np.ndarray:
        """Frame ``index`` as (H, W, C)."""
        return pixels_of(self.images[index], self.place(index), self.reading)

    def mask(self, index: int) -> np.ndarray:
        """Return its raw labels as (H, W)."""
        mask_HW, undeclared = self.values.read(self.masks[index])
        refuse_undeclared(undeclared, self.place(index), self.values)
        return mask_HW

    def frame(self, index: int) -> Frame:
        """Image and mask; no file says anything of them."""
        mask_HW, undeclared = self.values.read(self.masks[index])
        return Frame(self.image(index), mask_HW, undeclared=undeclared)

    def read_as(self, classes: Classes) -> Self:
        """Return the same frames, the values of their masks read as those of these classes."""
        return replace(self, values=classes.values)


def pixels_of(stored_HWC: np.ndarray, place: str, reading: PixelReading) -> np.ndarray:
    """Return an image that is held in memory as ``reading`` wants it.

    Raises:
        ProblemsError: Its channels are no colours.
    """
    try:
        return np.ascontiguousarray(converted(stored_HWC, reading))
    except RefusalError as refusal:
        raise ProblemsError(place, [Problem(place, refusal.rule, refusal.value)]) from refusal


def frame_hash(image_HWC: np.ndarray) -> str:
    """32 hexadecimal digits of the SHA-256 over an image's raw pixels, shape and type, as read and
    before any resizing.
    """
    digest = hashlib.sha256(f"{image_HWC.shape} {image_HWC.dtype.name}".encode())
    digest.update(np.ascontiguousarray(image_HWC).data)
    return digest.hexdigest()[:32]
