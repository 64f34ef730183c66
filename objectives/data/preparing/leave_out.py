"""Frames that a study leaves out by name, as a list in a file gives them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from objectives.data.reading.frame_names import frame_meant, spellings
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
    numbers = {name: index for index, name in enumerate(source.names)}
    known = spellings({name: source.place(index) for name, index in numbers.items()})
    meant = {name: frame_meant(name, known) for name in names}
    unknown = [name for name, frame in meant.items() if frame is None]
    problems = (
        [Problem("leave_out", "each line must name a frame of the data", listed(unknown))]
        if unknown
        else []
    )
    return {numbers[frame] for frame in meant.values() if frame is not None}, problems
