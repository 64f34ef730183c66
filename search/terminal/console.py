"""Output for people: as wide as the terminal, and never broken into lines where a script may read
it.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_COLUMNS = 1000


def open_console() -> "Console":
    """Return a rich console on standard output."""
    from rich.console import Console

    return Console(
        soft_wrap=True,
        highlight=False,
        markup=False,
        width=None if sys.stdout.isatty() else PIPE_COLUMNS,
    )
