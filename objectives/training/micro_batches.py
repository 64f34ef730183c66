"""Work that is larger than memory: how to try it, how to divide a batch, and how to go back to where a step began."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, final

import torch
from torch import Tensor, nn

from objectives.device.running_out import shortage_in
from objectives.device.shortage import MemoryTakenError
from objectives.errors import WorldError, one_line

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")

SMALLEST = 2  # frames that are trained on at once: batch norm may refuse a lone one
LONGEST_REASON = 200  # characters of torch's words


class DoesNotFitError(WorldError):
    """Memory is too small, however few frames go through the model at once; the message says what was tried."""


@final
@dataclass(frozen=True)
class TooLarge:
    """What came of work for which memory was too small, and what torch said: how much was asked for, and who has the rest."""

    reason: str


def attempt(
    device: torch.device, work: Callable[Arguments, Found], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Found | TooLarge:
    """What the work gives, or TooLarge when it needs more memory than a trial's share of the device's.

    In both cases no exception keeps the work's tensors alive any more.
    Raises: MemoryTakenError when others hold the memory: fewer frames at once would make the result depend on who is there.
    """
    try:
        return work(*arguments, **named)
    except (RuntimeError, MemoryError) as error:
        short = shortage_in(error, device)
        if short is None:
            raise
        reason = one_line((str(error).strip() or "out of memory").splitlines()[0], LONGEST_REASON)
    # outside the clause: the exception is gone, and with it the frames of the functions that it left
    if short.beyond_share:
        return TooLarge(reason)
    raise MemoryTakenError(short.taken())


def empty_cache(device: torch.device) -> None:
    """Give memory that nothing uses back to the device, whole: pieces left by larger work may be too small to use again."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def part_sizes(frames: int, most: int) -> list[int]:
    """Sizes of the parts into which a batch is divided: ``most`` frames or fewer, and they differ by one at most.

    No part is smaller than two frames, unless the batch itself is: an odd batch in parts of two has one of three.
    """
    parts = max(1, min(math.ceil(frames / most), frames // SMALLEST))
    size, rest = divmod(frames, parts)
    return [size + 1] * rest + [size] * (parts - rest)


def halved(frames: int, most: int) -> int:
    """Half of the largest part into which ``most`` divides a batch; 0 when no smaller parts are possible."""
    largest = part_sizes(frames, most)[0]
    smaller = max(SMALLEST, math.ceil(largest / 2))
    return smaller if part_sizes(frames, smaller)[0] < largest else 0


@final
class StepStart:
    """Where a training step begins, to go back to when it must be repeated.

    That is the random generators, and what the network counts for itself on its way forward: batch norm's statistics.
    Weights change only after the gradients are whole.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self._generators.append(torch.cuda.default_generators[index])
        self._random = [generator.get_state() for generator in self._generators]
        weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        counted = [value for name, value in model.state_dict().items() if name not in weights]
        alike = [[value for value in counted if value.dtype == dtype] for dtype in {value.dtype for value in counted}]
        self._counted: list[tuple[list[Tensor], list[Tensor]]] = [(group, [v.clone() for v in group]) for group in alike]

    def remember(self) -> None:
        """Now a step begins."""
        self._random = [generator.get_state() for generator in self._generators]
        for counted, kept in self._counted:  # one type each: that is a few launches on a GPU, not one a tensor
            torch._foreach_copy_(kept, counted)

    def restore(self) -> None:
        """Go back to where the step began."""
        for generator, state in zip(self._generators, self._random, strict=True):
            generator.set_state(state)
        for counted, kept in self._counted:
            torch._foreach_copy_(counted, kept)
