"""Convolutions of 1 x 1 with a stride, in a form that a CPU computes rightly."""

from typing import TypeGuard, final

from torch import Tensor, nn
from torch.nn import functional

FULL_BLOCK = 16  # channels that oneDNN takes at once with AVX-512; 8 without


@final
class SubsampledPointwise(nn.Module):
    """A 1 x 1 convolution of every s-th pixel: the same sums as one with that stride, and the same
    parameters.

    oneDNN's gradient of the weights of a strided one writes past its workspace when channels come
    last and are fewer than a block, as those of the frames are: the process dies or hangs, or goes
    on with weights of other tensors damaged.

    Source: uxlfoundation/oneDNN, issue 6035 (open in 2026).
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.bias = convolution.bias
        self.stride = convolution.stride
        self.groups = convolution.groups

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B, C', ceil(H / stride), ceil(W / stride))."""
        down, right = self.stride
        return functional.conv2d(
            features_BCHW[..., ::down, ::right], self.weight, self.bias, groups=self.groups
        )


def subsample_first(network: nn.Module) -> None:
    """Replace the convolutions of a network that a CPU might compute wrongly; parameters keep their
    names and values.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if is_at_risk(child):
                setattr(parent, name, SubsampledPointwise(child))


def is_at_risk(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a module is a plain 1 x 1 convolution with a stride, of too few channels for a
    block.
    """
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.padding == (0, 0)
        and module.in_channels // module.groups < FULL_BLOCK
    )
