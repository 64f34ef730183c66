"""Objects as files of one folder, which may be shared by several machines."""

import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.artifacts.objects import BlobMissingError, StoreAwayError, Stored, sharded, unsharded

_ABANDONED_AFTER_S = 24 * 3600.0


class FolderObjects:
    """Files ``ab/cdef...`` under ``path``; half-written ones live in ``partial/`` until they are
    whole and on the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path / "partial"
        self._swept = False

    def write(self, key: str, data: bytes) -> None:
        """Write a temporary file, flush it to the disk, then rename it."""
        target = self._path / sharded(key)
        with _one_line("write", target):
            self._sweep_once()
            _make_folder(self._partial)
            _make_folder(target.parent)
            partial = self._partial / uuid.uuid4().hex
            try:
                _write_durably(partial, data)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
            _flush_folder(target.parent)

    def read(self, key: str) -> bytes:
        """Return the file's bytes."""
        target = self._path / sharded(key)
        with _one_line("read", target):
            try:
                return target.read_bytes()
            except FileNotFoundError:
                raise BlobMissingError(f"{target} is missing from the artifact store") from None

    def delete(self, key: str) -> None:
        """Remove the file if it is there."""
        target = self._path / sharded(key)
        with _one_line("delete", target):
            target.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        """Return whether the file is there."""
        target = self._path / sharded(key)
        with _one_line("look for", target), suppress(FileNotFoundError):
            # unlike is_file(), which takes some broken disks for empty ones
            return stat.S_ISREG(target.stat().st_mode)
        return False

    def stored(self) -> Iterator[Stored]:
        """Yield all whole files."""
        with _one_line("list", self._path):
            for file in self._path.glob("??/*"):
                key = unsharded(file.relative_to(self._path).as_posix())
                if key is not None:
                    yield from _look(file, key)

    def look(self, key: str) -> Stored:
        """Return the file's size and time."""
        target = self._path / sharded(key)
        with _one_line("look for", target):
            for entry in _look(target, key):
                return entry
        raise BlobMissingError(f"{target} is missing from the artifact store")

    def drafts(self) -> Iterator[Stored]:
        """Yield the files that were never renamed."""
        with _one_line("list", self._partial):
            for file in self._partial.glob("*"):
                yield from _look(file, file.name)

    def drop_draft(self, name: str) -> None:
        """Remove the file; its writer, if it lives, fails and writes anew."""
        draft = self._partial / Path(name).name
        with _one_line("delete", draft):
            draft.unlink(missing_ok=True)

    def describe(self, key: str) -> str:
        """Return the file's path."""
        return str(self._path / sharded(key))

    def _sweep_once(self) -> None:
        """Remove what killed processes left half-written long ago."""
        if self._swept:
            return
        self._swept = True
        for draft in self.drafts():
            if time.time() - draft.written_at >= _ABANDONED_AFTER_S:
                self.drop_draft(draft.key)


def _look(file: Path, key: str) -> Iterator[Stored]:
    """Yield what the disk says of a file; nothing when it was removed since it was listed."""
    with suppress(FileNotFoundError):
        facts = file.stat()
        yield Stored(key, facts.st_size, facts.st_mtime)


def _write_durably(file: Path, data: bytes) -> None:
    with file.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: a rename alone may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _one_line(action: str, path: Path) -> Iterator[None]:
    """Turn an operating-system error into one line that says what failed, where and why."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreAwayError(f"cannot {action} {path} in the artifact store: {reason}") from error
