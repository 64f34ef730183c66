"""Who is told how far the reading of a source has got."""

from collections.abc import Callable

Progress = Callable[[int, int], None]  # how many frames are read, and of how many


def untold(_done: int, _of: int) -> None:
    """Tell nobody."""
