"""Frames of any sizes in one flat array, which may be a memory map: nothing is copied until pixels are used."""

from collections.abc import Sequence
from typing import Self, final, overload

import numpy as np
import numpy.typing as npt

Indices = Sequence[int] | npt.NDArray[np.integer | np.bool_] | slice
Size = tuple[int, int]  # height and width in pixels


@final
class Ragged(Sequence[np.ndarray]):
    """Frames (H, W, C), or masks (H, W) without ``channels``, each of its own size, that lie one behind
    the other.

    ``values`` (P,) holds the rows of all frames, ``sizes_N2`` the height and width of each, ``starts_N`` where
    each begins. An index gives a view of one frame; a slice, an array of indices or a mask gives such frames
    again.
    """

    def __init__(
        self,
        values: np.ndarray,
        sizes_N2: npt.NDArray[np.integer],
        starts_N: npt.NDArray[np.integer],
        channels: int = 0,
    ) -> None:
        assert values.ndim == 1, values.shape
        assert sizes_N2.shape == (len(starts_N), 2), (sizes_N2.shape, starts_N.shape)
        self.values = values
        self.sizes_N2 = sizes_N2
        self.starts_N = starts_N
        self.channels = channels

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the pixels."""
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.starts_N)

    @overload
    def __getitem__(self, index: int | np.integer) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: Indices) -> Self: ...
    def __getitem__(self, index: int | np.integer | Indices) -> "np.ndarray | Ragged":
        if not isinstance(index, int | np.integer):
            chosen = index if isinstance(index, slice) else _numbers(index)
            return Ragged(self.values, self.sizes_N2[chosen], self.starts_N[chosen], self.channels)
        height, width = self.sizes_N2[index].tolist()  # raises IndexError, which ends a loop
        start = int(self.starts_N[index])
        shape = (height, width, self.channels) if self.channels else (height, width)
        return self.values[start : start + int(np.prod(shape))].reshape(shape)

    def size(self, index: int) -> Size:
        """Return the height and width of one frame."""
        height, width = self.sizes_N2[index].tolist()
        return height, width


def _numbers(index: Sequence[int] | npt.NDArray[np.integer | np.bool_]) -> npt.NDArray[np.integer]:
    numbers = np.asarray(index)
    return np.flatnonzero(numbers) if numbers.dtype == np.bool_ else numbers.astype(np.int64)


# an array (N, H, W, C) or (N, H, W) is frames of one size
Frames = Sequence[np.ndarray] | np.ndarray


def one_behind_the_other(
    values: np.ndarray, sizes_N2: npt.NDArray[np.integer], channels: int = 0
) -> Ragged:
    """Return frames that fill an array from its start without gaps."""
    lengths_N = sizes_N2.astype(np.int64).prod(axis=1) * max(1, channels)
    starts_N = np.concatenate([[0], np.cumsum(lengths_N)[:-1]]).astype(np.int64)[: len(sizes_N2)]
    return Ragged(values, sizes_N2, starts_N, channels)
