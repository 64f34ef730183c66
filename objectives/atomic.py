"""Files and directories that appear at once: whoever looks sees the old state or the whole new one, never a part."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from objectives.errors import WorldError


@contextmanager
def file_at_once(path: Path) -> Iterator[Path]:
    """A draft beside ``path`` to write to; it takes the place of ``path`` when the block ends, and is deleted when it raises.

    Raises:
        WorldError: the place cannot be written to.
    """
    draft = path.parent / f".{path.name}.{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def directory_at_once(path: Path, *, last: str = "") -> Iterator[Path]:
    """An empty draft directory to fill; it takes the place of ``path`` when the block ends, and is deleted when it raises.

    What stands at ``path`` is replaced as a whole, so the caller asks first whether it may be. A mount point cannot be
    renamed: there the files move in one by one, the one named ``last`` (deleted before) after all others.

    Raises:
        WorldError: the place cannot be written to.
    """
    mounted = path.is_mount()
    draft = (path if mounted else path.parent) / f".{path.name}.{os.getpid()}"
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a killed process with the same id: in containers ids repeat
        draft.mkdir(parents=True)
        yield draft
        if mounted:
            _move_files(draft, path, last)
        else:
            _swap(draft, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _swap(draft: Path, path: Path) -> None:
    """Rename the draft to ``path``; what was there is deleted after, or comes back when the renaming fails."""
    if not path.exists():
        draft.rename(path)
        return
    old = draft.with_name(f"{draft.name}.old")
    path.rename(old)
    try:
        draft.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _move_files(draft: Path, path: Path, last: str) -> None:
    if last:
        (path / last).unlink(missing_ok=True)
    for file in sorted(draft.iterdir(), key=lambda file: file.name == last):
        file.replace(path / file.name)


def _cannot_write(path: Path, error: OSError) -> WorldError:
    return WorldError(f"cannot write {path}: {error.strerror or error}; free space there or choose another place")
