"""Where an output goes: what stands there already, and whether it may be replaced."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from objectives.errors import UserError

LINKS = 40  # that Linux follows


def refuse_output(
    out: Path,
    what: str,
    *,
    written_here: Callable[[Path], bool],
    force: bool,
    source: str = "",
    option: str = "--out",
) -> None:
    """Refuse to write the file ``out`` where that would destroy something; asked before the work
    begins.

    Pipes and devices are written to. A file is replaced with ``force``, if this program wrote it:
    ``written_here`` knows such a one by its content, and ``what`` says what it would be. ``source``
    is what the command reads, if a path; ``option`` names the output to people.

    Raises:
        UserError: Something else stands there.
    """
    if source and _same(out, Path(source)):
        raise UserError(f"{out} is the input; choose another {option}")
    if out.is_dir():
        raise UserError(f"{option} must be a file, and {out} is a folder; name a file in it")
    if is_stream(out) or not out.exists():
        return
    if not force:
        raise UserError(f"{out} exists; choose another {option}, or replace it with --force")
    if out.stat().st_size and not _reads_as(written_here, out):
        raise UserError(
            f"{out} is no {what} of this program, which --force would replace; move it away or "
            f"choose another {option}"
        )


def is_stream(path: Path) -> bool:
    """Return whether a path names what takes bytes and holds none: a pipe, a terminal, /dev/null,
    an open file of this process.

    Raises:
        UserError: It is a disk or a socket.
    """
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise UserError(f"{path} is a {'disk' if stat.S_ISBLK(mode) else 'socket'}; choose a file")
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def open_stream(path: Path) -> BinaryIO:
    """Return a pipe or device to write to; an open file of this process goes on where it stands.

    Raises:
        OSError: It cannot be written to.
    """
    number = _descriptor(path)
    return os.fdopen(os.open(path, os.O_WRONLY) if number is None else os.dup(number), "wb")


def followed(path: Path) -> Path:
    """Return what a path names when its links are followed, whether it is there or not.

    Raises:
        OSError: The links go round in a circle, or may not be read.
    """
    circle = OSError(f"{path} is a link that leads to itself")
    try:
        target = path.resolve()
    except RuntimeError as error:
        raise circle from error
    if target.is_symlink():  # from Python 3.13 on the links of a circle are left as they are
        raise circle
    return target


def _descriptor(path: Path) -> int | None:
    """Return the number of this process's open file that a path names, as /dev/stdout does."""
    own = Path(f"/proc/{os.getpid()}/fd")
    with suppress(OSError, RuntimeError):
        for _ in range(LINKS):
            if path.parent.resolve() == own and path.name.isdecimal():
                return int(path.name)
            path = path.parent / path.readlink()
    return None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


def _reads_as(written_here: Callable[[Path], bool], path: Path) -> bool:
    try:
        return written_here(path)
    except Exception:  # readers of zip files and pictures raise many kinds
        return False
