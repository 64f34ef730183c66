"""What is hashed and counted of frames while they pass, so that few of them are read back."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np

from objectives.data.preparing.training_pixels import TrainingPixels, largest

Stored = Callable[
    [Iterable[int]], Iterator[np.ndarray]
]  # reads images of some frames back, in ascending order


class InPassing:
    """Takes frames in as they come, before anybody knows which are kept and which are trained on.

    Once that is known, frames that were counted in vain are taken away, and those that had passed
    before, in a process that was killed, are added: counts are whole numbers, so no order counts. A hash has an
    order; where not all frames are kept, it is made anew.
    """

    def __init__(self) -> None:
        self._hashed: list[int] = []
        self._hash = hashlib.sha256()
        self._counted: set[int] = set()
        self._pixels: TrainingPixels | None = None
        self._pool = ThreadPoolExecutor(2)
        self._busy: tuple[Future[None], ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def add(self, index: int, image_HWC: np.ndarray) -> None:
        """Take in an image (H, W, C), uint8 or uint16, while the caller goes on."""
        self._settle()
        image_HWC = np.ascontiguousarray(image_HWC)
        if self._pixels is None:
            self._pixels = TrainingPixels(image_HWC.shape[2], largest(image_HWC))
        self._hashed.append(index)
        self._busy = (self._pool.submit(self._hash.update, image_HWC.data),)
        if self._pixels.counts_such(image_HWC):
            self._counted.add(index)
            self._busy += (self._pool.submit(self._pixels.add, image_HWC),)

    def hash_of(self, frames: Sequence[int], stored: Stored) -> str:
        """Return the SHA-256 over the pixels of these frames, ascending, one behind the other."""
        self._settle()
        if list(frames) == self._hashed:
            return self._hash.hexdigest()
        pixels = hashlib.sha256()
        for image_HWC in stored(frames):
            pixels.update(image_HWC.data)
        return pixels.hexdigest()

    def pixels_of(self, frames: Sequence[int], stored: Stored) -> TrainingPixels:
        """Return what the pixels of these frames, all of one kind, are like."""
        self._settle()
        wanted = set(frames)
        (first_HWC,) = stored(frames[:1])
        pixels, counted = self._pixels, self._counted
        if pixels is None or not pixels.counts_such(first_HWC):
            pixels, counted = TrainingPixels(first_HWC.shape[2], largest(first_HWC)), set()
        for image_HWC in stored(wanted - counted):
            pixels.add(image_HWC)
        for image_HWC in stored(counted - wanted):
            pixels.remove(image_HWC)
        return pixels

    def _settle(self) -> None:
        for each in self._busy:
            each.result()
