"""What the training part's pixels are like, per channel: mean, deviation, and the range that they
use.
"""

import numpy as np

LEAST_DEVIATION = 1e-3  # of a channel in 0..1, so that an even channel is not blown up
# of the pixels at either end are beyond the range: a dead or a glaring pixel must not stretch it
TAIL = 1e-3
_CELLS = 2**22  # counters of all channels together: 32 MB


class TrainingPixels:
    """Gathers frames one by one; what it tells is of pixels scaled to 0..1.

    The range is of the values that occur: 12-bit data in 16-bit files use a sixteenth of what the
    files could hold.
    """

    def __init__(self, channels: int, max_value: int) -> None:
        self.max_value = max_value
        self.count = 0
        self.sum = np.zeros(channels)
        self.squares = np.zeros(channels)
        self.coarser = next(
            bits
            for bits in range(17)
            if channels * ((max_value >> bits) + 1) <= _CELLS or bits == 16
        )
        self.histogram_CL = np.zeros((channels, (max_value >> self.coarser) + 1), np.int64)

    def add(self, image_HWC: np.ndarray) -> None:
        """Take a training frame in."""
        pixels_PC = image_HWC.reshape(-1, image_HWC.shape[-1])
        scaled_PC = pixels_PC / self.max_value
        self.count += len(scaled_PC)
        self.sum += scaled_PC.sum(axis=0)
        self.squares += (scaled_PC**2).sum(axis=0)
        for counts_L, values_P in zip(self.histogram_CL, pixels_PC.T, strict=True):
            counts_L += np.bincount(values_P >> self.coarser, minlength=len(counts_L))

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel."""
        return tuple((self.sum / self.count).tolist())

    @property
    def deviation(self) -> tuple[float, ...]:
        """Per channel, never quite 0."""
        variance = np.maximum(self.squares / self.count - (self.sum / self.count) ** 2, 0)
        return tuple(np.maximum(np.sqrt(variance), LEAST_DEVIATION).tolist())

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
