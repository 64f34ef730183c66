"""How far probabilities can be believed: the reliability table and the expected calibration error.
Imports no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

BINS = 15  # as in Guo et al. 2017


@dataclass(frozen=True)
class ReliabilityBin:
    """One row of the reliability table: pixels whose top probability lies in (low, high]."""

    low: float
    high: float
    pixels: int
    confidence: float  # their mean top probability, NaN without pixels
    accuracy: float  # share of them whose predicted class is the true one, NaN without pixels


@dataclass(frozen=True)
class Calibration:
    """Sums over pixels in M bins of equal width of their top probability; those of parts of a set
    add up to those of the set.

    Bin m of 1..M holds the probabilities in ((m - 1) / M, m / M].
    """

    pixels_M: npt.NDArray[np.int64]
    correct_M: npt.NDArray[np.int64]  # pixels whose predicted class is the true one
    confidence_M: npt.NDArray[np.float64]  # sums of top probabilities

    @classmethod
    def of(
        cls, confidence: npt.NDArray[np.floating], correct: npt.NDArray[np.bool_], bins: int = BINS
    ) -> Self:
        """From the top probability of each pixel, 0..1, and whether its class was right; both of
        one shape, any.
        """
        assert confidence.shape == correct.shape, f"{confidence.shape} against {correct.shape}"
        # a softmax may round above 1
        top = np.minimum(confidence.ravel().astype(np.float64), 1.0)
        right = correct.ravel()
        index = np.searchsorted(np.arange(1, bins) / bins, top, side="left")
        return cls(
            np.bincount(index, minlength=bins),
            np.bincount(index[right], minlength=bins),
            # integers when there is no pixel
            np.bincount(index, weights=top, minlength=bins).astype(np.float64),
        )

    @classmethod
    def nothing(cls, bins: int = BINS) -> Self:
        """Of no pixels."""
        return cls.of(np.zeros(0), np.zeros(0, dtype=bool), bins)

    def __add__(self, other: Self) -> Self:
        """Of the pixels of both."""
        return type(self)(
            self.pixels_M + other.pixels_M,
            self.correct_M + other.correct_M,
            self.confidence_M + other.confidence_M,
        )

    @property
    def error(self) -> float:
        """Expected calibration error, 0..1: the mean over pixels of |accuracy - confidence| of
        their bin; NaN without pixels.

        Source: Guo et al. 2017 (On Calibration of Modern Neural Networks), equation 3.
        """
        pixels = int(self.pixels_M.sum())
        return (
            float(np.abs(self.correct_M - self.confidence_M).sum() / pixels)
            if pixels
            else float("nan")
        )

    @property
    def table(self) -> tuple[ReliabilityBin, ...]:
        """The reliability table, from the lowest probabilities to the highest."""
        return tuple(self._rows())

    def _rows(self) -> Iterator[ReliabilityBin]:
        bins = len(self.pixels_M)
        sums = zip(
            self.pixels_M.tolist(), self.confidence_M.tolist(), self.correct_M.tolist(), strict=True
        )
        for m, (pixels, confidence, correct) in enumerate(sums):
            means = (
                (confidence / pixels, correct / pixels) if pixels else (float("nan"), float("nan"))
            )
            yield ReliabilityBin(m / bins, (m + 1) / bins, pixels, *means)
