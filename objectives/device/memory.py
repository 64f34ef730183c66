"""Work that may be larger than memory: how to try it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, final

import torch

from objectives.device.running_out import shortage_in
from objectives.device.shortage import MemoryTakenError
from objectives.errors import WorldError, one_line

Arguments = ParamSpec("Arguments")


Found = TypeVar("Found")


LONGEST_REASON = 200  # characters of torch's words


class DoesNotFitError(WorldError):
    """Memory is too small, however few frames go through the model at once; the message says what
    was tried.
    """


@final
@dataclass(frozen=True)
class TooLarge:
    """What came of work for which memory was too small, and what torch said: how much was asked
    for, and who has the rest.
    """

    reason: str


def attempt(
    device: torch.device,
    work: Callable[Arguments, Found],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Found | TooLarge:
    """Return what the work gives, or TooLarge when it needs more memory than a trial's share of the
    device's.

    In both cases no exception keeps the work's tensors alive any more.

    Raises:
        MemoryTakenError: Others hold the memory: fewer frames at once would make the result depend
            on who is there.
    """
    try:
        return work(*arguments, **named)
    except (RuntimeError, MemoryError) as error:
        short = shortage_in(error, device)
        if short is None:
            raise
        reason = one_line((str(error).strip() or "out of memory").splitlines()[0], LONGEST_REASON)
    # outside the clause: the traceback, which kept the call's tensors alive, is freed by now
    if short.beyond_share:
        return TooLarge(reason)
    raise MemoryTakenError(short.taken())


def limit_memory(device: torch.device, most_bytes: int) -> None:
    """Let this process take no more of a GPU's memory than that, however much is free: beyond it torch
    raises as it does where memory has run out. It starts CUDA.
    """
    _, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction(min(1.0, most_bytes / total), device)


def empty_cache(device: torch.device) -> None:
    """Give memory that nothing uses back to the device, whole: pieces left by larger work may be
    too small to use again.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
