"""Whether NVIDIA's MPS runs here: a daemon through which the processes of a GPU compute at the same
time. It is found, never started.
"""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from search.process.on_gpu import PIPES

USUAL = "/tmp/nvidia-mps"
CONTROL = "control"  # the socket on which the daemon listens
HOW = "start it by `nvidia-cuda-mps-control -d` (docs/gpus.md)"


def mps_runs() -> bool:
    """Return whether a daemon listens where CUDA would look for it, and this user may speak to it.

    A killed daemon leaves its socket. A socket of datagrams is no partner for the daemon's: the
    system refuses it by its kind where somebody listens, and the daemon hears nothing of it.
    """
    control = Path(os.environ.get(PIPES) or USUAL) / CONTROL
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(str(control)) == errno.EPROTOTYPE
    return False


def mps_words() -> str:
    """Return the same for people."""
    return "MPS runs" if mps_runs() else "MPS does not run"
