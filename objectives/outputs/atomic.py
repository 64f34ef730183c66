"""Files and directories that appear at once: whoever looks sees the old state or the whole new one,
never a part.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from objectives.errors import UserError, WorldError
from objectives.outputs.place import followed, is_stream, open_stream
from objectives.outputs.renaming import exchange


@contextmanager
def file_at_once(path: Path, *, replace: bool) -> Iterator[Path]:
    """Yield a draft beside ``path`` to write to; it takes the place of ``path`` when the block
    ends, and is deleted when it raises.

    Of a link, what it names is meant. A pipe or a device is written to, and stays. A file that is
    there, or has come meanwhile, takes ``replace``: `refuse_output` says before the work whether
    that is right.

    Raises:
        UserError: A file stands there and is not to be replaced.
        WorldError: The place cannot be written to.
    """
    try:
        if is_stream(path):
            with tempfile.NamedTemporaryFile(prefix="search-") as draft:
                yield Path(draft.name)
                with Path(draft.name).open("rb") as whole, open_stream(path) as out:
                    shutil.copyfileobj(whole, out)
            return
        with _draft_beside(followed(path)) as file:
            yield file
            _put(file, followed(path), replace=replace)
    except BrokenPipeError:  # nobody reads on: no error of the place
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def directory_at_once(path: Path, *, last: str = "", replace: bool = False) -> Iterator[Path]:
    """Yield an empty draft directory to fill; it takes the place of ``path`` when the block ends,
    and is deleted when it raises.

    Of a link, what it names is meant. An empty folder is replaced; one that holds something, with
    ``replace`` only, as a whole: the caller asks first whether it may be. A mount point cannot be
    renamed: there the files move in one by one, the one named ``last`` (deleted before) after all
    others.

    Raises:
        WorldError: The place cannot be written to, or something has come there meanwhile.
    """
    try:
        place = followed(path)
        mounted = place.is_mount()
        draft = (place if mounted else place.parent) / f".{place.name}.{os.getpid()}"
        try:
            # of a killed process with the same id: in containers ids repeat
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            yield draft
            if mounted:
                _move_files(draft, place, last)
            else:
                _take_place(draft, place, replace=replace)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def _draft_beside(path: Path) -> Iterator[Path]:
    draft = path.parent / f".{path.name}.{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _put(draft: Path, path: Path, *, replace: bool) -> None:
    """Give the draft its name; without ``replace`` none that was taken meanwhile."""
    if replace:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
        return
    except FileExistsError:
        taken = True
    except OSError:  # a file system without links
        taken = path.exists()
    if taken:
        raise UserError(
            f"{path} has come there meanwhile; choose another --out, or replace it with --force"
        )
    draft.rename(path)


def _take_place(draft: Path, path: Path, *, replace: bool) -> None:
    """Rename the draft to ``path``; the draft then holds what was there, if anything.

    Where the file system cannot exchange two folders, nothing stands at ``path`` for a moment.
    """
    if not replace or not path.exists():
        draft.rename(path)  # over nothing, or an empty folder
        return
    if exchange(draft, path):
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


def refuse_unwritable(directory: Path) -> None:
    """Refuse a place where no directory can be made or replaced; a folder is made and deleted to
    see.

    Raises:
        WorldError: It cannot.
    """
    with suppress(_Tried), directory_at_once(directory):
        raise _Tried


class _Tried(Exception):  # noqa: N818  # no error: what was to be seen is seen
    pass


def _cannot_write(path: Path, error: OSError) -> WorldError:
    return WorldError(
        f"cannot write {path}: {error.strerror or error}; free space there or choose another place"
    )
