"""What a trial's errors say: whose fault they are, in one line."""

import re

import torch

from objectives.config.measures import BadScoreError
from objectives.device.memory import DoesNotFitError
from objectives.device.shortage import Shortage
from objectives.errors import SearchError, first_line, one_line
from objectives.training.fit import DivergedError
from search.process.messages import Cause

# what an estimate may raise of a network that it cannot follow, beside our own errors;
# NotImplementedError is a RuntimeError
UNKNOWN = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)
# what torch says, in errors that have no class of their own, when no config could be trained here:
# there is no CUDA, or its server of MPS takes no process now, or no room is in /dev/shm, which the
# other trials of a container have filled meanwhile
ELSEWHERE = re.compile(
    "No CUDA GPUs are available|Found no NVIDIA driver|CUDA unknown error|CUDA driver version is "
    "insufficient"
    # MPS: no daemon, one that ends or recovers, no room for one process more; exclusive mode
    "|MPS client|MPS server|support device connections|busy or unavailable"
    "|killed by signal: Bus error|unable to allocate shared memory|unable to resize file|No space "
    "left on device"
)
# and what may be its surroundings' fault or its config's: such a trial is tried again, as often as
# one that crashes
DEADLY = re.compile(
    r"CUDA error|CUDNN_STATUS_EXECUTION_FAILED|DataLoader worker \(pid|unable to mmap"
)


def said_by(error: Exception) -> str:
    """Return what an error says, in one line; one of another process or thread comes with a
    traceback, and says it at its end.
    """
    said = str(error).strip()
    return one_line(said.splitlines()[-1]) if said.startswith("Caught ") else first_line(error)


def dies_of(error: Exception) -> bool:
    """Return whether after an error a process is as good as dead, and counts as crashed: its device
    is in an unknown state, or a process that it needs was killed.
    """
    said = str(error)
    if ELSEWHERE.search(said):
        return False
    return isinstance(error, torch.AcceleratorError) or bool(DEADLY.search(said))


def cause_of(error: Exception, short: Shortage | None = None) -> Cause:
    """Return why a trial cannot go on; where memory ran out, by whose share was exceeded."""
    match error:
        case DoesNotFitError():
            return Cause.INFEASIBLE
        case DivergedError():
            return Cause.DIVERGED
        case BadScoreError():  # somebody else's code, like a network's
            return Cause.ERROR
        case SearchError() | OSError():
            return Cause.SURROUNDINGS
        case _ if short:
            return Cause.INFEASIBLE if short.beyond_share else Cause.SURROUNDINGS
        case _ if ELSEWHERE.search(str(error)):
            return Cause.SURROUNDINGS
        case _:
            return Cause.ERROR
