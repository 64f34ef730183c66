"""What the training part's pixels are like, per channel: mean, deviation, and the range that they
use.
"""

import math
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from objectives.data.ragged import Ragged

LEAST_DEVIATION = 1e-3  # of a channel in 0..1, so that an even channel is not blown up
# of the pixels at either end are beyond the range: a dead or a glaring pixel must not stretch it
TAIL = 1e-3

_AT_ONCE = 4  # channels that are counted side by side, so that few are copied
_CELLS = 2**22  # counters of all channels together: 32 MB
_EXACT = 2**23  # pixels that OpenCV, which counts in float32, counts exactly


class TrainingPixels:
    """Gathers frames one by one; what it tells is of pixels scaled to 0..1.

    All of it comes from how many pixels have each value, so that no order counts; very many 16-bit channels
    are counted in cells of a few values. The range is of the values that occur: 12-bit data in 16-bit
    files use a sixteenth of what the files could hold.
    """

    def __init__(self, channels: int, max_value: int) -> None:
        self.max_value = max_value
        self.count = 0
        self.coarser = next(
            bits
            for bits in range(17)
            if channels * ((max_value >> bits) + 1) <= _CELLS or bits == 16
        )
        self.histogram_CL = np.zeros((channels, (max_value >> self.coarser) + 1), np.int64)

    def counts_such(self, channels: int, dtype: np.dtype[np.generic]) -> bool:
        """Return whether frames of so many channels and this type are what is counted."""
        return (channels, type_maximum(dtype)) == (len(self.histogram_CL), self.max_value)

    def add(self, image_HWC: np.ndarray) -> None:
        """Take a training frame in."""
        self._count(image_HWC, 1)

    def remove(self, image_HWC: np.ndarray) -> None:
        """Take a frame away that was taken in."""
        self._count(image_HWC, -1)

    def _count(self, image_HWC: np.ndarray, times: int) -> None:
        self.count += times * image_HWC.shape[0] * image_HWC.shape[1]
        cells = [self.histogram_CL.shape[1]]
        rows = max(1, _EXACT // image_HWC.shape[1])
        for start in range(0, len(image_HWC), rows):
            for first in range(0, len(self.histogram_CL), _AT_ONCE):
                some = slice(first, first + _AT_ONCE)
                part_HWC = np.ascontiguousarray(image_HWC[start : start + rows, :, some])
                for place, counts_L in enumerate(self.histogram_CL[some]):
                    found = cv2.calcHist([part_HWC], [place], None, cells, [0, self.max_value + 1])
                    counts_L += times * found.ravel().astype(np.int64)

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel."""
        scale = self.count * self.max_value
        return tuple(float(total / scale) for total in self._sums(1))

    @property
    def deviation(self) -> tuple[float, ...]:
        """Per channel, never quite 0."""
        scale = (self.count * self.max_value) ** 2
        variances = [
            float((self.count * squares - total**2) / scale)
            for total, squares in zip(self._sums(1), self._sums(2), strict=True)
        ]
        return tuple(max(math.sqrt(variance), LEAST_DEVIATION) for variance in variances)

    def _sums(self, power: int) -> list[Fraction]:
        """Of that power of the values, per channel: exact; of a cell of several values, its middle's."""
        middle = Fraction((1 << self.coarser) - 1, 2)
        sums = []
        for counts_L in self.histogram_CL:
            held = np.flatnonzero(counts_L).tolist()
            values = ((cell << self.coarser) + middle for cell in held)
            pairs = zip(counts_L[held].tolist(), values, strict=True)
            sums.append(sum((count * value**power for count, value in pairs), Fraction()))
        return sums

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest value of each channel, `TAIL` of the pixels left out at either end;
        never quite equal.

        Where nearly all pixels have one value (a few bright cells on black), it is the whole range
        that occurs.
        """
        return tuple(self._range(counts_L) for counts_L in self.histogram_CL)

    def _range(self, counts_L: np.ndarray) -> tuple[float, float]:
        below = counts_L.cumsum()
        low, high = np.searchsorted(
            below, (TAIL * self.count, (1 - TAIL) * self.count), side="right"
        ).tolist()
        if low == high:
            low, high = np.flatnonzero(counts_L)[[0, -1]].tolist()
        first = low << self.coarser
        last = ((high + 1) << self.coarser) - 1
        last = min(max(last, first + 1), self.max_value)
        return min(first, last - 1) / self.max_value, last / self.max_value


def training_pixels(images: Ragged) -> TrainingPixels:
    """Return what the pixels of some frames (H, W, C), uint8 or uint16, are like."""
    seen = TrainingPixels(images.channels, type_maximum(images.dtype))
    for image_HWC in images:
        seen.add(image_HWC)
    return seen


def type_maximum(dtype: np.dtype[Any]) -> int:
    """Return the largest whole number that a type can hold."""
    return int(np.iinfo(dtype).max)
