"""The part of a network that was trained before, and may stay as it is for a while."""

from collections.abc import Collection
from typing import final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@final
class Carried:
    """The weights and batch norms of a network that have these names.

    While they are held, nothing moves them: the weights have no gradients, and so no optimiser
    touches them, and the batch norms go by what they have counted before.
    """

    def __init__(self, network: nn.Module, names: Collection[str]) -> None:
        self.parameters = [
            parameter
            for name, parameter in network.named_parameters()
            if name in names and parameter.requires_grad
        ]
        self.norms = [
            module
            for name, module in network.named_modules()
            if isinstance(module, _BatchNorm) and f"{name}.running_mean" in names
        ]

    def hold(self, *, frozen: bool) -> None:
        """Hold them where ``frozen``, else let them go; to be called in training mode."""
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        for norm in self.norms if frozen else ():
            norm.eval()
