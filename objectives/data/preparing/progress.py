"""Who is told how far the reading of a source has got."""

import time
from collections.abc import Callable

Progress = Callable[[int, int], None]  # how many frames are read, and of how many
EVERY_S = 10.0


def untold(_done: int, _of: int) -> None:
    """Tell nobody."""


def in_lines(say: Callable[[str], None], every_s: float = EVERY_S) -> Progress:
    """Return a progress that says a line every few seconds; nothing of what takes no longer."""
    said_at = time.monotonic()

    def told(done: int, of: int) -> None:
        nonlocal said_at
        if done < of and time.monotonic() - said_at >= every_s:
            said_at = time.monotonic()
            say(f"{done} of {of} frames are read")

    return told
