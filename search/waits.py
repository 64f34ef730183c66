"""How long to wait before the next try of what did not work: twice as long each time, up to a
limit.
"""

from collections.abc import Iterator

FIRST_S = 0.5
LONGEST_S = 15.0

AGAIN = "; trying again in"  # what a line says of a wait, after its reason


def growing_waits(first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> Iterator[float]:
    """Yield seconds without end: ``first_s``, then twice the one before, at most ``longest_s``."""
    wait_s = first_s
    while True:
        yield wait_s
        wait_s = min(longest_s, 2 * wait_s)
