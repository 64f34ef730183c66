"""The probabilities of overlapping windows averaged into those of a frame, from its first row to its
last: no more of it is held than a row of windows covers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from objectives.windows.layout import Corner, Windows, cut, starts

# of numpy or of torch, as ``like`` makes them: both are cut, added and divided alike
Array = TypeVar("Array", bound=Any)
Like = Callable[[np.ndarray], Array]


class Tile(NamedTuple):
    """A window of a frame: which frame, its pixels (H, W, C), which may be read when they are cut, and
    where the window lies.
    """

    frame: int
    pixels: Any
    corner: Corner

    def seen(self, windows: Windows) -> np.ndarray:
        """Return the pixels of the window, (h, w, C)."""
        return cut(self.pixels, self.corner, windows.height, windows.width)


class Strip(NamedTuple, Generic[Array]):
    """Rows of a frame, and what is said of them: the probabilities (S, rows, W) float32 of S classes."""

    frame: int
    rows: slice
    values: Array


class Mosaic(Generic[Array]):
    """One frame that is put together: ``add`` takes its windows in the order of `Windows.corners`.

    A pixel's probabilities are the mean over the windows that show it, weighted by how near it is to their
    middles; where one window shows a whole frame, they are what that window says.
    """

    def __init__(
        self, windows: Windows, height: int, width: int, like: Like[Array], weights_HW: Array
    ) -> None:
        self.windows = windows
        self.height = height
        self.width = width
        self.like = like
        self.weights_HW = weights_HW
        rows = starts(height, windows.height, windows.overlap)
        self.ends = [*rows[1:], height]  # before which rows are whole, after each row of windows
        self.columns = starts(width, windows.width, windows.overlap)
        self.alone = len(rows) == len(self.columns) == 1
        self.top = 0
        self.taken = 0  # windows of this row
        self.sums_SBW: Array | None = None
        self.total_BW: Array | None = None

    def add(self, corner: Corner, probable_Shw: Array) -> tuple[slice, Array] | None:
        """Take a window's probabilities (S, h, w); return the rows that are whole by now, if any."""
        if self.alone:
            return slice(0, self.height), probable_Shw[:, : self.height, : self.width]
        assert corner == (self.top, self.columns[self.taken]), (corner, self.top, self.taken)
        if self.sums_SBW is None or self.total_BW is None:
            self.sums_SBW, self.total_BW = self._empty(len(probable_Shw))
        columns = slice(corner.column, min(corner.column + self.windows.width, self.width))
        seen = slice(0, columns.stop - columns.start)
        rows = slice(0, self._band)
        weights_hw = self.weights_HW[rows, seen]
        self.sums_SBW[:, :, columns] += probable_Shw[:, rows, seen] * weights_hw
        self.total_BW[:, columns] += weights_hw
        self.taken += 1
        return self._whole() if self.taken == len(self.columns) else None

    @property
    def _band(self) -> int:
        """How many rows a row of windows covers."""
        return min(self.windows.height, self.height)

    def _empty(self, classes: int) -> tuple[Array, Array]:
        shape = self._band, self.width
        return (
            self.like(np.zeros((classes, *shape), np.float32)),
            self.like(np.zeros(shape, np.float32)),
        )

    def _whole(self) -> tuple[slice, Array]:
        """Return what the row of windows that is done has made whole, and keep the rest."""
        assert self.sums_SBW is not None
        assert self.total_BW is not None
        end = self.ends.pop(0)
        done = end - self.top
        rows = slice(self.top, end)
        mean_SDW = self.sums_SBW[:, :done] / self.total_BW[:done]
        left_SBW, left_BW = self.sums_SBW, self.total_BW
        self.sums_SBW, self.total_BW = self._empty(len(left_SBW))
        self.sums_SBW[:, : self._band - done] = left_SBW[:, done:]
        self.total_BW[: self._band - done] = left_BW[done:]
        self.top, self.taken = end, 0
        return rows, mean_SDW


def tiles_of(frames: Iterable[Any], windows: Windows) -> Iterator[Tile]:
    """Yield the windows of frames (H, W, C), frame by frame; each frame is asked for once."""
    for index, pixels in enumerate(frames):
        for corner in windows.corners(*pixels.shape[:2]):
            yield Tile(index, pixels, corner)


def stitched(
    seen: Iterable[tuple[Sequence[Tile], Array]], windows: Windows, like: Like[Array]
) -> Iterator[Strip[Array]]:
    """Yield the strips of frames whose tiles come in batches, each with its probabilities (B, S, h, w).

    The tiles are those of `tiles_of`, in order.
    """
    weights_HW = like(windows.weights_HW)
    mosaic: Mosaic[Array] | None = None
    for tiles, probable_BShw in seen:
        for tile, probable_Shw in zip(tiles, probable_BShw, strict=True):
            if tile.corner == (0, 0):
                height, width = tile.pixels.shape[:2]
                mosaic = Mosaic(windows, height, width, like, weights_HW)
            assert mosaic is not None
            if whole := mosaic.add(tile.corner, probable_Shw):
                yield Strip(tile.frame, *whole)


def batches(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    """Yield the tiles, so many at once."""
    remaining = iter(tiles)
    while batch := list(islice(remaining, size)):
        yield batch
