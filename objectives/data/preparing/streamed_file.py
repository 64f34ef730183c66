"""Large files that are written from front to end, and read back in the same way."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import Self, cast, final

import numpy as np

# after which the disk is given what was written; smaller files stay in the system's memory
STEP_BYTES = 2**26
MOST_STEPS = 4  # that wait for a slow disk, and are in memory meanwhile


@final
class StreamedFile:
    """A file that is given to the disk while it grows, and then leaves the system's memory.

    A system keeps written pages as long as it has room. That takes memory from other programs, and
    where a virtual machine gets its memory page by page from its host, it takes longer than the
    disk. An error of the disk is raised by a later `write`, at the latest by `settle`, or when the
    file is left without an exception.
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        self._opened = cast("RawIOBase", path.open("r+b", buffering=0))
        self._end = 0
        self._given = 0  # up to where the disk has it, or is about to
        self._giving: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown()
        self._opened.close()
        if kind is None:
            self._wait()

    @property
    def length(self) -> int:
        """What it holds already, in bytes."""
        return os.fstat(self._opened.fileno()).st_size

    def go_on_from(self, end: int) -> None:
        """Forget what lies behind ``end``, bytes; what is not there yet becomes zeros."""
        self._opened.truncate(end)
        self._end = self._given = self._opened.seek(end)

    def write(self, content: np.ndarray | bytes) -> None:
        """Write all of an array, or of some bytes.

        Raises:
            OSError: The disk cannot take it, or could not take what was written before.
        """
        left = memoryview(content) if isinstance(content, bytes) else _bytes_of(content)
        while left:  # one call of the system takes two gigabytes at most
            written = self._opened.write(left) or 0
            left = left[written:]
            self._end += written
        waiting = self._end - self._given
        busy = self._giving is not None and not self._giving.done()
        if waiting >= STEP_BYTES and (not busy or waiting >= MOST_STEPS * STEP_BYTES):
            self._wait()
            self._given = self._end
            self._giving = self._pool.submit(_give, self._opened.fileno(), self._end)

    def settle(self) -> None:
        """Wait until the disk has all.

        Raises:
            OSError: It cannot take it.
        """
        self._wait()
        if self._end >= STEP_BYTES:
            _give(self._opened.fileno(), self._end)
        else:
            os.fdatasync(self._opened.fileno())

    def _wait(self) -> None:
        if self._giving is not None:
            self._giving.result()


def read_back(path: Path, places: Iterable[tuple[int, int]]) -> Iterator[np.ndarray]:
    """Yield the bytes (uint8) from each start to its end, ascending.

    They are taken for not being read again soon, and leave the system's memory.

    Raises:
        OSError: The file cannot be read, or ends before.
    """
    with path.open("rb", buffering=0) as opened:
        forgotten = 0
        for start, end in places:
            opened.seek(start)
            stored = np.empty(end - start, np.uint8)
            left = stored.data
            while left:
                read = opened.readinto(left)
                if not read:
                    raise OSError(f"{path} ends before byte {end}")
                left = left[read:]
            yield stored
            if end - forgotten >= STEP_BYTES:
                _forget(opened.fileno(), end)
                forgotten = end


def _bytes_of(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")


def _give(file: int, end: int) -> None:
    os.fdatasync(file)
    _forget(file, end)


def _forget(file: int, end: int) -> None:
    with suppress(OSError):  # advice, which not every file system takes
        os.posix_fadvise(file, 0, end, os.POSIX_FADV_DONTNEED)
