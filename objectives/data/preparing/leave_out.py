"""Frames that a study leaves out by name, as a list in a file gives them."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from objectives.errors import Problem, UserError, listed

if TYPE_CHECKING:
    # the command line does not wait for the readers
    from objectives.data.reading.frames import FrameSource

REASON = "named by --leave-out"
MOST_BYTES = 2**26


def read_leave_out(path: Path) -> tuple[str, ...]:
    """Return the names in a text file, one a line; each once, in order.

    Raises:
        UserError: It cannot be read, or names nothing.
    """
    try:
        if not path.is_file():  # a pipe would be waited for without end
            raise UserError(
                f"--leave-out must be a text file with the name of one frame a line, got {path}: "
                f"no file"
            )
        if path.stat().st_size > MOST_BYTES:
            raise UserError(
                f"--leave-out must be a list of names, got {path} of "
                f"{path.stat().st_size / 2**20:.0f} MiB"
            )
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--leave-out must be a text file with the name of one frame a line, got {path}: "
            f"{error}"
        ) from error
    if not (names := {line.strip() for line in lines} - {""}):
        raise UserError(f"--leave-out must name frames, one a line, got {path} without any")
    return tuple(sorted(names))


def named_frames(source: "FrameSource", names: Sequence[str]) -> tuple[set[int], list[Problem]]:
    """Return the indices of the frames that are meant, and what names none: a file may be named
    with or without suffix and folder.
    """
    if not names:
        return set(), []
    known: dict[str, int] = {}
    for index, name in enumerate(source.names):
        place = source.place(index)
        known |= dict.fromkeys((name, place, place.removeprefix("images/")), index)
    spelled = {
        name: unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")
        for name in names
    }
    index_of = {name: known.get(name, known.get(plain, -1)) for name, plain in spelled.items()}
    unknown = [name for name, index in index_of.items() if index < 0]
    problems = (
        [Problem("leave_out", "each line must name a frame of the data", listed(unknown))]
        if unknown
        else []
    )
    return {index for index in index_of.values() if index >= 0}, problems
