"""Where the windows of a frame lie, and what is seen in each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SIGMA = 0.125  # of a window's side: the deviation of the weights' Gaussian


class Corner(NamedTuple):
    """The first row and column of a window in its frame."""

    row: int
    column: int


@dataclass(frozen=True)
class Windows:
    """Windows of a height and width in pixels, of which neighbours share at least so much of their sides
    (``overlap``, 0..1).

    A frame that is smaller than a window is seen in one that reaches beyond it, to the right and below.
    """

    height: int
    width: int
    overlap: float

    def corners(self, height: int, width: int) -> Iterator[Corner]:
        """Yield where the windows of a frame of that size lie, row by row."""
        columns = starts(width, self.width, self.overlap)
        for row in starts(height, self.height, self.overlap):
            for column in columns:
                yield Corner(row, column)

    @cached_property
    def weights_HW(self) -> npt.NDArray[np.float32]:
        """How much each pixel of a window counts: a Gaussian around its middle with a deviation of an
        eighth of its sides, never 0.

        Source: Isensee et al. 2021 (nnU-Net: a self-configuring method for deep learning-based
        biomedical image segmentation), inference.
        """
        return np.outer(_gaussian(self.height), _gaussian(self.width)).astype(np.float32)


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin along an axis: at steps as even as pixels allow, and the same from either
    end, so that a mirrored frame is seen in mirrored windows.
    """
    room = max(0, length - window)
    last = math.ceil(room / max(1, int(window * (1.0 - overlap))))
    if room % 2 and last % 2 == 0:  # there would be a window in the middle, between two pixels
        last += 1
    if not last:
        return [0]
    first_half = [(2 * number * room + last) // (2 * last) for number in range(last // 2 + 1)]
    return first_half + [room - start for start in first_half[: last - last // 2][::-1]]


def cut(
    frame: np.ndarray, corner: Corner, height: int, width: int, *, fill: int | None = None
) -> np.ndarray:
    """Return a window of a frame (H, W, ...); where it reaches beyond the frame, it is the frame's mirror
    image, or ``fill``.
    """
    rows, columns = (
        slice(corner.row, corner.row + height),
        slice(corner.column, corner.column + width),
    )
    inside = frame[rows, columns]
    lacking = height - inside.shape[0], width - inside.shape[1]
    if lacking == (0, 0):
        return inside
    beyond = [(0, lacking[0]), (0, lacking[1]), *[(0, 0)] * (inside.ndim - 2)]
    if fill is None:
        return np.pad(inside, beyond, mode="symmetric")
    return np.pad(inside, beyond, constant_values=fill)


def _gaussian(length: int) -> npt.NDArray[np.float64]:
    """Of offsets of up to four deviations, so that nothing is 0 in float32."""
    offsets = np.arange(length) - (length - 1) / 2
    return np.asarray(np.exp(-0.5 * (offsets / (SIGMA * length)) ** 2))
