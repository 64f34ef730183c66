"""What a bottleneck may add to its block, or have instead: wider sight, or weights for channels.
All keep height and width.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import assert_never, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import EncoderUNet, Norm, UNet
from objectives.networks.blocks import ResidualBlock, conv_norm, squeezed_channels

DILATIONS = (1, 2, 4)


def bottleneck_layers(
    model: UNet | EncoderUNet, in_channels: int, channels: int, block: Callable[[], nn.Module]
) -> list[nn.Module]:
    """Return what ``model.bottleneck`` is made of: the block with what follows it, or what stands
    in its place.
    """
    match model.bottleneck:
        case "plain":
            return [block()]
        case "residual":
            return [block(), ResidualBlock(channels, channels, model.kernel_size, model.norm)]
        case "dilated":
            return [block(), DilatedContext(channels, model.norm)]
        case "squeeze_excitation":
            return [block(), SqueezeExcitation(channels)]
        case "dilated_squeeze_excitation":
            return [block(), DilatedContext(channels, model.norm), SqueezeExcitation(channels)]
        case "dilated_sequence_squeeze_excitation":
            return [DilatedSequence(in_channels, channels, model.norm), SqueezeExcitation(channels)]
        case _:
            assert_never(model.bottleneck)


@final
class DilatedContext(nn.Module):
    """Three 3 x 3 convolutions side by side, dilated by 1, 2 and 4, each of half the channels,
    joined by a 1 x 1.

    Source: Chen et al. 2017 (arXiv:1706.05587), section 3.3, parallel atrous convolutions; rates of
    report D. Report A's A6 cites Symmetry 2021, 13(1):24 for such a bottleneck under residual
    blocks and attention gates.
    """

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.branches = nn.ModuleList(
            conv_norm(channels, half, 3, norm, dilation=dilation) for dilation in DILATIONS
        )
        self.join = conv_norm(len(DILATIONS) * half, channels, 1, norm)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        branches = [functional.relu(branch(x_BCHW)) for branch in self.branches]
        return functional.relu(self.join(torch.cat(branches, dim=1)))


@final
class DilatedSequence(nn.Sequential):
    """Three 3 x 3 convolutions one after the other, dilated by 1, 2 and 4, each with norm and ReLU:
    15 x 15 pixels of sight.

    Source: Yu and Koltun 2016 (arXiv:1511.07122), section 3, the first layers of table 1; rates of
    report D.
    """

    def __init__(self, in_channels: int, channels: int, norm: Norm) -> None:
        ends = pairwise([in_channels, *[channels] * len(DILATIONS)])
        pairs = zip(ends, DILATIONS, strict=True)
        super().__init__(
            *(
                nn.Sequential(conv_norm(*each, 3, norm, dilation=rate), nn.ReLU(inplace=True))
                for each, rate in pairs
            )
        )


@final
class SqueezeExcitation(nn.Module):
    """Weighs each channel by a small network of all channels' means: s = sigmoid(W_2 ReLU(W_1
    mean(x))), returns s * x.

    Source: Hu et al. 2018 (arXiv:1709.01507), equations 2 to 4, reduction ratio 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = squeezed_channels(channels)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        mean_BC11 = x_BCHW.mean(dim=(2, 3), keepdim=True)
        return x_BCHW * torch.sigmoid(self.excite(functional.relu(self.squeeze(mean_BC11))))
