"""How a process ends with the one that made it, whatever it does by then."""

import ctypes
import os
import signal
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # of prctl(2)


def end_with_parent(parent: int = 0, by: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when the thread that made it has ended, also while
    this one stands still.

    Where the ``parent`` is known by its number, one that has ended before this call ends this
    process, too. Linux has it; elsewhere this does nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)
    if parent and os.getppid() != parent:
        os.kill(os.getpid(), by)


def leave_with(parent: int) -> None:
    """Let this process be asked to leave (SIGTERM) as soon as ``parent``, which made it, has ended,
    however it did.
    """
    end_with_parent(parent, signal.SIGTERM)
