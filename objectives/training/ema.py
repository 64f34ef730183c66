"""Exponential moving average of a model's weights and batch-norm statistics."""

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class AveragedModel(Generic[Model]):
    """A copy of a model that follows it slowly: average += (1 - d) * (weights - average).

    The decay warms up, ``d = min(decay, (1 + t) / (10 + t))`` after t updates, so that the random
    start is forgotten at once. Buffers (batch-norm mean and variance) are averaged like weights;
    integer buffers are copied. At decay 0 the average is the model's own copy.

    Source: Polyak and Juditsky 1992; the warm-up as in Tarvainen and Valpola 2017 and the field's
    common practice.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = deepcopy(model).requires_grad_(False).eval()
        # listed once: walking the modules at every step would cost more than the average itself
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the model's present weights and statistics."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.decay else 0.0
        torch._foreach_lerp_(
            [average for average, _ in self._floats],
            [value for _, value in self._floats],
            1 - decay,
        )
        if self._counters:  # torch refuses an empty list
            torch._foreach_copy_(
                [average for average, _ in self._counters], [value for _, value in self._counters]
            )


def _tensors(model: nn.Module) -> list[Tensor]:
    """Weights and statistics: what is saved. Other buffers are constants, the same in both."""
    saved = model.state_dict().keys()
    return [
        *model.parameters(),
        *(buffer for name, buffer in model.named_buffers() if name in saved),
    ]
