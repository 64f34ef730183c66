"""Errors of torch, CUDA's libraries and numpy that mean: memory ran out. All spellings are here,
and what each is worth.
"""

import re
from contextlib import suppress

import torch

from objectives.device.shortage import LIBRARIES, Shortage, host_shortage, share_of

# how torch says of tensors, on a GPU and on a CPU, and numpy of arrays, what was not to be had
ASKED = re.compile(r"(?:tried|Tried|Unable) to allocate ([\d.]+) (bytes|KiB|MiB|GiB|TiB|PiB|EiB)")
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

# CUDA's libraries of an allocation of their own
ON_DEVICE = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
# what may have other reasons, too, and means memory where the device has next to none left: a
# context, a handle or a workspace without room (cuDNN finds no engine when none has one), but also
# a broken device, or memory of the host to be pinned
WHERE_FULL = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "unable to find an engine to execute this computation",
)
NO_CONTEXT = WHERE_FULL[0]  # all that a device says which has no memory to be asked in
ON_HOST = "DefaultCPUAllocator: can't allocate memory"
# all that oneDNN says then; of what it does not know it says "... descriptor"
ONEDNN_FAILED = "could not create a primitive"


def shortage_in(error: BaseException, device: torch.device) -> Shortage | None:
    """Return which memory an error says ran out, the device's or the host's, and who had it; None
    for any other error.

    Ask while the error is at hand, since what it keeps alive was held when it happened.
    """
    said = str(error)
    on_cpu = device.type != "cuda"
    if isinstance(error, MemoryError) or ON_HOST in said or said.strip().endswith(ONEDNN_FAILED):
        return host_shortage(_asked(said))
    if isinstance(error, torch.OutOfMemoryError) or any(words in said for words in ON_DEVICE):
        return host_shortage(_asked(said)) if on_cpu else _device_shortage(device, _asked(said))
    if on_cpu or not any(words in said for words in WHERE_FULL):
        return None
    shortage = _device_shortage(device, 0)
    if not shortage.total:
        return shortage if NO_CONTEXT in said else None
    free = shortage.total - shortage.ours - shortage.others
    within_limit = _allowed(device, shortage.total) - shortage.ours
    return shortage if min(free, within_limit) < LIBRARIES else None


def _device_shortage(device: torch.device, asked: int) -> Shortage:
    """Who holds a GPU's memory; what torch keeps for later is ours, a process's own limit is the
    whole of what it may take.
    """
    with suppress(RuntimeError, AssertionError):  # torch without CUDA asserts
        free, total = torch.cuda.mem_get_info(device)
        ours = torch.cuda.memory_reserved(device)
        return Shortage(
            str(device),
            asked,
            ours,
            max(0, total - free - ours),
            total,
            min(share_of(total), _allowed(device, total)),
        )
    return Shortage(str(device), asked, ours=0, others=0, total=0, share=0)


def _allowed(device: torch.device, total: int) -> int:
    """Bytes that torch lets this process take of a GPU's memory: all, unless it was given a limit."""
    return int(torch.cuda.get_per_process_memory_fraction(device) * total)


def _asked(said: str) -> int:
    """Bytes that an error says were not to be had; 0 when it does not say."""
    match = ASKED.search(said)
    return int(float(match[1]) * 1024 ** UNITS.index(match[2])) if match else 0
