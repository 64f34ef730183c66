"""Large files that are written from front to end."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import RawIOBase
from pathlib import Path
from typing import Self, cast, final

import numpy as np

STEP = 2**26  # bytes after which the disk is given what was written; smaller files stay in memory


@final
class SteadyFile:
    """A file that is given to the disk while it grows, and does not stay in memory.

    The system would keep all of it there: that takes room from others, and where memory is lent page by page, as
    in virtual machines, it costs more than to write. Every method raises OSError when the disk could not
    take what was written before.
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        self._opened = cast("RawIOBase", path.open("r+b", buffering=0))
        self._end = 0
        self._given = 0
        self._giving: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._opened.close()

    @property
    def length(self) -> int:
        """What it holds already, in bytes."""
        return os.fstat(self._opened.fileno()).st_size

    def go_on_from(self, end: int) -> None:
        """Forget what lies behind ``end``, bytes; what is not there yet becomes zeros."""
        self._opened.truncate(end)
        self._end = self._given = self._opened.seek(end)

    def write(self, array: np.ndarray) -> None:
        """Write all of an array; one call of the system takes two gigabytes at most."""
        left = np.ascontiguousarray(array).data.cast("B")
        while left:
            written = self._opened.write(left) or 0
            left = left[written:]
            self._end += written
        busy = self._giving is not None and not self._giving.done()
        if self._end - self._given >= STEP and not busy:
            self._wait()
            self._given = self._end
            self._giving = self._pool.submit(_give, self._opened.fileno(), self._end)

    def settle(self) -> None:
        """Wait until the disk has all."""
        self._wait()
        os.fdatasync(self._opened.fileno())

    def _wait(self) -> None:
        if self._giving is not None:
            self._giving.result()


def read_back(path: Path, places: Iterable[tuple[int, int]]) -> Iterator[np.ndarray]:
    """Yield the bytes, uint8, between each start and end, ascending, of a large file that is not read again
    soon: it does not stay in memory either.

    Raises:
        OSError: It cannot be read, or ends before.
    """
    with path.open("rb", buffering=0) as opened:
        given = 0
        for start, end in places:
            opened.seek(start)
            stored = np.fromfile(opened, np.uint8, end - start)
            if len(stored) < end - start:
                raise OSError(f"{path} ends before byte {end}")
            yield stored
            if end - given >= STEP:
                os.posix_fadvise(opened.fileno(), given, end - given, os.POSIX_FADV_DONTNEED)
                given = end


def _give(file: int, end: int) -> None:
    os.fdatasync(file)
    os.posix_fadvise(file, 0, end, os.POSIX_FADV_DONTNEED)
