"""Scoring and predicting on a GPU that has too little memory, or whose memory others hold: the CPU
does it instead.
"""

import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from objectives.device.memory import DoesNotFitError
from objectives.device.running_out import shortage_in
from objectives.device.shortage import MemoryTakenError
from objectives.errors import first_line

Found = TypeVar("Found")
CPU = torch.device("cpu")


def gpu_or_cpu(device: torch.device, work: Callable[[torch.device], Found]) -> Found:
    """Return what the work gives on the device; where that is a GPU without memory for it, say so,
    and work on the CPU.

    The work may be done twice, so it must leave nothing behind when it fails.
    """
    try:
        return work(device)
    except Exception as error:
        if device.type == "cpu" or not _lacks_memory(error, device):
            raise
        why = first_line(error)
    # outside the clause: the traceback, which kept tensors on the GPU alive, is freed by now
    print(
        f"search: {device} has no memory for it ({why}): the CPU does it instead", file=sys.stderr
    )
    return work(CPU)


def _lacks_memory(error: Exception, device: torch.device) -> bool:
    if isinstance(error, DoesNotFitError | MemoryTakenError):
        return True
    short = shortage_in(error, device)
    return short is not None and short.of == str(device)
