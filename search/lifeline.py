"""How a process ends with the one that made it, whatever it does by then."""

import ctypes
import os
import signal
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # of prctl(2)


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when the thread that made it has ended, also while this one stands still.

    Linux has it; elsewhere this does nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)


def leave_with(parent: int) -> None:
    """Let this process be told to leave (SIGTERM) as soon as ``parent``, which made it, has ended, however it did."""
    end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it has ended before it was asked for
        os.kill(os.getpid(), signal.SIGTERM)
