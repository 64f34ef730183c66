"""Gates on skips: each weighs the skip by what the coarser level, upsampled to the skip's shape,
asks for.
"""

from typing import assert_never, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Skip
from objectives.networks.blocks import squeezed_channels

SPATIAL_KERNEL = 7  # of Woo et al. 2018, section 4.1


def skip_gate(skip: Skip, channels: int) -> nn.Module | None:
    """Return the gate for skips of ``channels``; none where the skip is only concatenated."""
    match skip:
        case "concat":
            return None
        case "attention":
            return AttentionGate(channels)
        case "gated":
            return SigmoidGate(channels)
        case "channel_attention":
            return ChannelAttentionGate(channels)
        case "spatial_channel_attention":
            return SpatialChannelAttentionGate(channels)
        case _:
            assert_never(skip)


@final
class AttentionGate(nn.Module):
    """Weighs each pixel of a skip by how far the coarser level asks for it.

    alpha = sigmoid(psi(ReLU(W_x x + W_g g + b_g)) + b_psi); returns alpha * x. The gating signal g
    is the upsampled feature map, of the skip's size, so alpha need not be resampled.

    Source: Oktay et al. 2018 (arXiv:1804.03999), equations 1 and 2. Residual blocks beside such
    gates, as in report A's A5: Chen et al. 2020 (arXiv:2004.05645).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 2)
        self.from_skip = nn.Conv2d(channels, between, 1, bias=False)
        self.from_gating = nn.Conv2d(channels, between, 1)
        self.psi = nn.Conv2d(between, 1, 1)

    def forward(self, skip_BCHW: Tensor, gating_BCHW: Tensor) -> Tensor:
        """Return the gated skip, (B, C, H, W)."""
        alpha_B1HW = torch.sigmoid(
            self.psi(functional.relu(self.from_skip(skip_BCHW) + self.from_gating(gating_BCHW)))
        )
        return skip_BCHW * alpha_B1HW


@final
class SigmoidGate(nn.Module):
    """Weighs each channel of each pixel: s = sigmoid(W_x x + W_g g + b), 1 x 1 convolutions;
    returns s * x.

    Unlike the attention gate of Oktay et al. it has no hidden layer, and one weight for every
    channel of a pixel instead of one for the pixel.

    Source: Dauphin et al. 2017 (arXiv:1612.08083), equation 1, with the skip itself in place of its
    linear half; report E names gated skips without a formula.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, skip_BCHW: Tensor, gating_BCHW: Tensor) -> Tensor:
        """Return the gated skip, (B, C, H, W)."""
        return skip_BCHW * torch.sigmoid(self.gate(torch.cat([skip_BCHW, gating_BCHW], dim=1)))


@final
class ChannelAttentionGate(nn.Module):
    """Weighs each channel of a skip by the means and maxima of all channels of skip and gating
    signal.

    c = sigmoid(M(mean([x; g])) + M(max([x; g]))), M(y) = W_2 ReLU(W_1 y + b_1) + b_2; returns c *
    x.

    Source: the channel half of Khanh et al. 2020 (Appl. Sci. 10(17):5729). Only its abstract was at
    hand: the gate reads encoder and decoder features as it says there, with the formula of Woo et
    al. 2018 (arXiv:1807.06521), equation 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = squeezed_channels(2 * channels)
        self.shared = nn.Sequential(
            nn.Conv2d(2 * channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1)
        )

    def forward(self, skip_BCHW: Tensor, gating_BCHW: Tensor) -> Tensor:
        """Return the gated skip, (B, C, H, W)."""
        both = torch.cat([skip_BCHW, gating_BCHW], dim=1)
        mean = both.mean(dim=(2, 3), keepdim=True)
        most = both.amax(dim=(2, 3), keepdim=True)
        return skip_BCHW * torch.sigmoid(self.shared(mean) + self.shared(most))


@final
class SpatialChannelAttentionGate(nn.Module):
    """Weighs each channel and each pixel of a skip: returns c * s * x, c of the channel attention
    gate.

    s = sigmoid(conv_7x7([mean x; max x; mean g; max g])), means and maxima over the channels of a
    pixel.

    Source: Khanh et al. 2020 (Appl. Sci. 10(17):5729), read as in the channel half; s is Woo et al.
    2018 (arXiv:1807.06521), equation 3. Both weights are of the skip as it comes, side by side.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.by_channel = ChannelAttentionGate(channels)
        self.by_pixel = nn.Conv2d(4, 1, SPATIAL_KERNEL, padding=SPATIAL_KERNEL // 2)

    def forward(self, skip_BCHW: Tensor, gating_BCHW: Tensor) -> Tensor:
        """Return the gated skip, (B, C, H, W)."""
        maps_B1HW = [
            statistic
            for x in (skip_BCHW, gating_BCHW)
            for statistic in (x.mean(1, keepdim=True), x.amax(1, keepdim=True))
        ]
        by_channel: Tensor = self.by_channel(skip_BCHW, gating_BCHW)
        return by_channel * torch.sigmoid(self.by_pixel(torch.cat(maps_B1HW, dim=1)))
