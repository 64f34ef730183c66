"""What one look at a labelled frame tells: all that the judgement over a source needs, without the
pixels.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import ConfigDict, TypeAdapter

from objectives.data.preparing.duplicates import thumbnail
from objectives.data.preparing.marks import Marks, marks_of
from objectives.data.preparing.resize import resize_image, resize_mask
from objectives.data.preparing.sizes import size_problem
from objectives.data.ragged import Size
from objectives.data.reading.frames import FrameSource, frame_hash
from objectives.errors import Problem, ProblemsError


@dataclass(frozen=True)
class Facts:
    """What is kept of a frame."""

    shape: tuple[int, int, int]  # H, W, C as read
    dtype: str
    mask_key: str  # equal for equal raw masks
    labels: tuple[int, ...]  # raw labels in the mask as read
    counts: tuple[int, ...]  # pixels of each of them after resizing
    pixels: tuple[int, ...]  # of each of them as read
    mean: float  # of all pixel values as read, 0..1
    look: bytes  # see `thumbnail`
    hash: str
    marks: Marks
    undeclared: Mapping[str, int]  # pixels of stored values without a label
    mask_dtype: str = "uint8"  # of its raw labels
    size: Size = (0, 0)  # as prepared

    @property
    def thumbnail(self) -> np.ndarray:
        """The look as float32 numbers."""
        return np.frombuffer(self.look, np.float32)


Look = Facts | tuple[Problem, ...]  # or why the frame cannot be read
_LOOKS = TypeAdapter[Look](
    Look,
    config=ConfigDict(ser_json_inf_nan="constants", ser_json_bytes="hex", val_json_bytes="hex"),
)


class Looked(NamedTuple):
    """A look, and image (H, W, C) and raw mask (H, W) at the prepared size; none of a frame that cannot be
    read.
    """

    look: Look
    image_HWC: np.ndarray | None = None
    mask_HW: np.ndarray | None = None


def look_at(source: FrameSource, index: int, size: Size | None) -> Looked:
    """Read a frame; ``size`` is that of all frames, None: each keeps its own."""
    try:
        frame = source.frame(index)
    except ProblemsError as error:
        return Looked(error.problems)
    remedy = " (--exif keep takes pixels as they lie)"
    if problem := size_problem(frame, source.place(index), remedy=remedy):
        return Looked((problem,))
    image_HWC = frame.image_HWC
    mask_HW = np.ascontiguousarray(frame.mask_HW)
    height, width, channels = image_HWC.shape
    prepared = size or (height, width)
    resized_HW = resize_mask(mask_HW, *prepared)
    pixels = counted(mask_HW)
    labels = np.flatnonzero(pixels)
    counts = pixels
    if resized_HW is not mask_HW:
        counts = np.bincount(resized_HW.ravel(), minlength=int(labels[-1]) + 1)
    key = hashlib.sha256(f"{mask_HW.shape}{mask_HW.dtype}".encode())
    key.update(mask_HW.data)
    facts = Facts(
        shape=(height, width, channels),
        dtype=image_HWC.dtype.name,
        mask_key=key.hexdigest(),
        labels=tuple(labels.tolist()),
        counts=tuple(counts[labels].tolist()),
        pixels=tuple(pixels[labels].tolist()),
        mean=_mean(image_HWC),
        look=thumbnail(image_HWC).tobytes(),
        hash=frame_hash(image_HWC),
        marks=marks_of(frame, tuple(labels.tolist())),
        undeclared=frame.undeclared,
        mask_dtype=mask_HW.dtype.name,
        size=prepared,
    )
    return Looked(facts, resize_image(image_HWC, *prepared), resized_HW)


def _mean(image_HWC: np.ndarray) -> float:
    """Return the mean of all values, 0..1, of sums that are exact."""
    rows = image_HWC.reshape(len(image_HWC), -1)
    return float(cv2.sumElems(rows)[0] / image_HWC.size / np.iinfo(image_HWC.dtype).max)


def counted(labels_HW: np.ndarray) -> np.ndarray:
    """Return how many pixels have each label 0, 1, ..., int64, at least up to the highest that occurs."""
    highest = int(labels_HW.max())
    if highest < _FEW:  # to compare is faster than to count
        return np.array([np.count_nonzero(labels_HW == label) for label in range(highest + 1)])
    if labels_HW.dtype != np.uint8:
        return np.bincount(labels_HW.ravel())
    counts = np.zeros(256, np.int64)
    rows = max(1, _EXACT // labels_HW.shape[1])
    for start in range(0, len(labels_HW), rows):
        part_HW = np.ascontiguousarray(labels_HW[start : start + rows])
        counts += cv2.calcHist([part_HW], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return counts


_FEW = 12  # labels
_EXACT = 2**23  # pixels that OpenCV, which counts in float32, counts exactly


def look_line(look: Look) -> bytes:
    """Return a look as one line of JSON."""
    return _LOOKS.dump_json(look) + b"\n"


def read_look(line: bytes) -> Look:
    """Return what `look_line` wrote.

    Raises:
        ValueError: It is no such line.
    """
    return _LOOKS.validate_json(line)
