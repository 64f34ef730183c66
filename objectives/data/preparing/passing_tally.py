"""What is hashed and counted of frames while they pass, so that few of them are read back."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, final

import numpy as np

from objectives.data.preparing.training_pixels import TrainingPixels, type_maximum

# reads images of some frames back, in ascending order
ReadBack = Callable[[Iterable[int]], Iterator[np.ndarray]]


@final
class PassingTally:
    """Takes frames in as they pass, before it is known which are kept and which are trained on.

    Once that is known, frames that were counted in vain are taken away, and those that had passed
    in a process that was killed are added: counts are whole numbers, so order does not matter. A
    hash has an order; where other frames are kept than have passed, it is made anew.
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
        """Take in the next image (H, W, C), uint8 or uint16, while the caller goes on."""
        self._settle()
        image_HWC = np.ascontiguousarray(image_HWC)
        if self._pixels is None:
            self._pixels = TrainingPixels(image_HWC.shape[2], type_maximum(image_HWC.dtype))
        self._hashed.append(index)
        self._busy = (self._pool.submit(self._hash.update, image_HWC.data),)
        if self._pixels.counts_such(image_HWC.shape[2], image_HWC.dtype):
            self._counted.add(index)
            self._busy += (self._pool.submit(self._pixels.add, image_HWC),)

    def hash_of(self, frames: Sequence[int], read_back: ReadBack) -> str:
        """Return the SHA-256 over the pixels of these frames, ascending, one behind the other."""
        self._settle()
        if list(frames) == self._hashed:
            return self._hash.hexdigest()
        pixels = hashlib.sha256()
        for image_HWC in read_back(frames):
            pixels.update(image_HWC.data)
        return pixels.hexdigest()

    def pixels_of(
        self,
        frames: Sequence[int],
        channels: int,
        dtype: np.dtype[np.generic],
        read_back: ReadBack,
    ) -> TrainingPixels:
        """Return what the pixels of these frames, all of one kind, are like."""
        self._settle()
        wanted = set(frames)
        pixels, counted = self._pixels, self._counted
        anew = pixels is None or not pixels.counts_such(channels, dtype)
        if pixels is None or anew or len(counted ^ wanted) > len(wanted):
            pixels, counted = TrainingPixels(channels, type_maximum(dtype)), set()
        self._pixels, self._counted = None, set()  # what is made of them below is the caller's
        for image_HWC in read_back(wanted - counted):
            pixels.add(image_HWC)
        for image_HWC in read_back(counted - wanted):
            pixels.remove(image_HWC)
        return pixels

    def _settle(self) -> None:
        for each in self._busy:
            each.result()
