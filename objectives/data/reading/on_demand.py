"""Images that are read when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

import numpy as np

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


def numbered(frames_NHWC: np.ndarray) -> Sequence[NamedImage]:
    """Return frames (N, H, W, C) with their numbers as names."""
    return ReadOnDemand(
        len(frames_NHWC), lambda index: (str(index), np.ascontiguousarray(frames_NHWC[index]))
    )
