"""A batch that is larger than memory: how to divide it, and how to go back to where a
step began.
"""

import math
from typing import final

import torch
from torch import Tensor, nn

SMALLEST = 2  # frames that are trained on at once: batch norm may refuse a lone one


def part_sizes(frames: int, most: int) -> list[int]:
    """Sizes of the parts into which a batch is divided: ``most`` frames or fewer, and they differ
    by one at most.

    No part is smaller than two frames, unless the batch itself is: an odd batch in parts of two has
    one of three.
    """
    parts = max(1, min(math.ceil(frames / most), frames // SMALLEST))
    size, rest = divmod(frames, parts)
    return [size + 1] * rest + [size] * (parts - rest)


def halved(frames: int, most: int) -> int:
    """Half of the largest part into which ``most`` divides a batch; 0 when no smaller parts are
    possible.
    """
    largest = part_sizes(frames, most)[0]
    smaller = max(SMALLEST, math.ceil(largest / 2))
    return smaller if part_sizes(frames, smaller)[0] < largest else 0


@final
class StepStart:
    """Where a training step begins, to go back to when it must be repeated.

    That is the random generators, and what the network counts for itself on its way forward: batch
    norm's statistics. Weights change only after the gradients are whole.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self._generators.append(torch.cuda.default_generators[index])
        self._random = [generator.get_state() for generator in self._generators]
        weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        counted = [value for name, value in model.state_dict().items() if name not in weights]
        alike = [
            [value for value in counted if value.dtype == dtype]
            for dtype in {value.dtype for value in counted}
        ]
        self._counted: list[tuple[list[Tensor], list[Tensor]]] = [
            (group, [v.clone() for v in group]) for group in alike
        ]

    def remember(self) -> None:
        """Now a step begins."""
        self._random = [generator.get_state() for generator in self._generators]
        # one type each: that is a few launches on a GPU, not one a tensor
        for counted, kept in self._counted:
            torch._foreach_copy_(kept, counted)

    def restore(self) -> None:
        """Go back to where the step began."""
        for generator, state in zip(self._generators, self._random, strict=True):
            generator.set_state(state)
        for counted, kept in self._counted:
            torch._foreach_copy_(counted, kept)
