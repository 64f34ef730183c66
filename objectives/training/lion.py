"""Lion: gradient descent by the sign of an averaged gradient. One average per weight, half of what
Adam keeps.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, optim


class Lion(optim.Optimizer):
    """Lion with decoupled weight decay, in place; the average is kept in float32 or whatever the
    weights are.

    c = beta1 * m + (1 - beta1) * g; w = w - lr * (sign(c) + decay * w); m = beta2 * m + (1 - beta2)
    * g. Source: Chen et al. 2023 (arXiv:2302.06675), algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients that the weights hold; weights without one stay as
        they are.
        """
        for group in self.param_groups:
            if weights := [weight for weight in group["params"] if weight.grad is not None]:
                self._step(weights, group["lr"], group["betas"], group["weight_decay"])

    def _step(
        self, weights: list[Tensor], lr: float, betas: tuple[float, float], decay: float
    ) -> None:
        beta1, beta2 = betas
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        averages = [self._average(weight) for weight in weights]
        signs = torch._foreach_mul(averages, beta1)
        torch._foreach_add_(signs, gradients, alpha=1 - beta1)
        torch._foreach_sign_(signs)
        torch._foreach_mul_(weights, 1 - lr * decay)
        torch._foreach_add_(weights, signs, alpha=-lr)
        torch._foreach_mul_(averages, beta2)
        torch._foreach_add_(averages, gradients, alpha=1 - beta2)

    def _average(self, weight: Tensor) -> Tensor:
        """Return the averaged gradient of a weight, zero at first."""
        state = self.state[weight]
        if not state:
            state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        average: Tensor = state["exp_avg"]
        return average
