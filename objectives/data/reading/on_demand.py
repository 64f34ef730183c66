"""Images that are read when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

import numpy as np

from objectives.data.options import PixelReading
from objectives.data.reading.frames import pixels_of

Item = TypeVar("Item")
NamedImage = tuple[str, np.ndarray]  # name, (H, W, C) uint8 or uint16


@dataclass(frozen=True)
class ReadOnDemand(Sequence[Item], Generic[Item]):
    """A sequence whose items are read when asked for, so that a folder of any size fits
    in memory.
    """

    length: int
    read: Callable[[int], Item]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        positions = range(self.length)[index]  # raises IndexError, which ends a loop
        return (
            self.read(positions)
            if isinstance(positions, int)
            else [self.read(position) for position in positions]
        )


def numbered(
    frames: Sequence[np.ndarray] | np.ndarray, reading: PixelReading
) -> Sequence[NamedImage]:
    """Return frames, (H, W, C) each, with their numbers as names, as ``reading`` wants them."""

    def read(index: int) -> NamedImage:
        return str(index), pixels_of(frames[index], f"test_set[{index}]", reading)

    return ReadOnDemand(len(frames), read)
