"""How a process ends with the one that made it, whatever it does by then."""

import ctypes
import os
import signal
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # of prctl(2)


def end_with_parent(parent: int = 0) -> None:
    """Let the kernel kill this process when the thread that made it has ended, also while this one stands still.

    Where the ``parent`` is known by its number, one that has ended before this call ends this process, too. Linux has it;
    elsewhere this does nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        os._exit(1)
