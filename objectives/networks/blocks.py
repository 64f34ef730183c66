"""The parts that networks are composed of; all keep height and width unless they say otherwise."""

from typing import Literal, assert_never, final

import torch
from torch import Tensor, nn
from torch.nn import functional

Norm = Literal["batch", "group"]

MOST_GROUPS = 8
LEAST_CHANNELS_PER_GROUP = 4  # fewer make group norm wipe out what a channel says
DILATIONS = (1, 2, 4)
SQUEEZE_RATIO = 8
LEAST_SQUEEZED = 8  # with fewer, all of them may be dead from the start


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Return batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167) or group norm (Wu and He 2018, arXiv:1803.08494)."""
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(group_count(channels), channels)
        case _:
            assert_never(norm)


def group_count(channels: int) -> int:
    """Return the most groups, at most 8, that divide ``channels`` and hold at least 4 channels each (1 if none do)."""
    fitting = (n for n in range(1, MOST_GROUPS + 1) if channels % n == 0 and channels // n >= LEAST_CHANNELS_PER_GROUP)
    return max(fitting, default=1)


def conv_norm(in_channels: int, out_channels: int, kernel_size: int, norm: Norm, *, dilation: int = 1) -> nn.Sequential:
    """Return a convolution of the same size with its norm; no bias, which the norm would take out again."""
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, norm_layer(norm, out_channels))


@final
class PlainBlock(nn.Sequential):
    """Two k x k convolutions, each with norm and ReLU.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597), section 2, padded and with norms.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm: Norm) -> None:
        super().__init__(
            conv_norm(in_channels, out_channels, kernel_size, norm),
            nn.ReLU(inplace=True),
            conv_norm(out_channels, out_channels, kernel_size, norm),
            nn.ReLU(inplace=True),
        )


@final
class ResidualBlock(nn.Module):
    """ReLU(F(x) + x), F two k x k convolutions with norms; x is projected by 1 x 1 and norm where the channels change.

    Source: He et al. 2016 (arXiv:1512.03385), equations 1 and 2.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm: Norm) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_norm(in_channels, out_channels, kernel_size, norm),
            nn.ReLU(inplace=True),
            conv_norm(out_channels, out_channels, kernel_size, norm),
        )
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_norm(in_channels, out_channels, 1, norm)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, out_channels, H, W)."""
        return functional.relu(self.residual(x_BCHW) + self.shortcut(x_BCHW))


@final
class AttentionGate(nn.Module):
    """Weighs each pixel of a skip by how far the coarser level asks for it.

    alpha = sigmoid(psi(ReLU(W_x x + W_g g + b_g)) + b_psi); returns alpha * x. The gating signal g is the upsampled
    feature map, of the skip's size, so alpha need not be resampled.

    Source: Oktay et al. 2018 (arXiv:1804.03999), equations 1 and 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 2)
        self.from_skip = nn.Conv2d(channels, between, 1, bias=False)
        self.from_gating = nn.Conv2d(channels, between, 1)
        self.psi = nn.Conv2d(between, 1, 1)

    def forward(self, skip_BCHW: Tensor, gating_BCHW: Tensor) -> Tensor:
        """Return the gated skip, (B, C, H, W)."""
        alpha_B1HW = torch.sigmoid(self.psi(functional.relu(self.from_skip(skip_BCHW) + self.from_gating(gating_BCHW))))
        return skip_BCHW * alpha_B1HW


@final
class DilatedContext(nn.Module):
    """Three 3 x 3 convolutions side by side, dilated by 1, 2 and 4, each of half the channels, joined by a 1 x 1.

    Source: Chen et al. 2017 (arXiv:1706.05587), section 3.3, parallel atrous convolutions; rates of report D.
    """

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.branches = nn.ModuleList(conv_norm(channels, half, 3, norm, dilation=dilation) for dilation in DILATIONS)
        self.join = conv_norm(len(DILATIONS) * half, channels, 1, norm)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        branches = [functional.relu(branch(x_BCHW)) for branch in self.branches]
        return functional.relu(self.join(torch.cat(branches, dim=1)))


@final
class SqueezeExcitation(nn.Module):
    """Weighs each channel by a small network of all channels' means: s = sigmoid(W_2 ReLU(W_1 mean(x))), returns s * x.

    Source: Hu et al. 2018 (arXiv:1709.01507), equations 2 to 4, reduction ratio 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(LEAST_SQUEEZED, channels // SQUEEZE_RATIO)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        mean_BC11 = x_BCHW.mean(dim=(2, 3), keepdim=True)
        return x_BCHW * torch.sigmoid(self.excite(functional.relu(self.squeeze(mean_BC11))))


def transpose_up(in_channels: int, out_channels: int) -> nn.Module:
    """Return a learnt doubling of height and width: a 2 x 2 transposed convolution (Ronneberger et al. 2015)."""
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)


def bilinear_up(in_channels: int, out_channels: int) -> nn.Module:
    """Return a bilinear doubling of height and width after a 1 x 1 convolution (cheaper so; the two commute)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    )


def init_he(network: nn.Module) -> None:
    """Set the weights of all convolutions by He et al. 2015 (arXiv:1502.01852, equation 10), their biases to 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.ConvTranspose2d):  # stride = kernel: each output sees one tap of every input channel
            nn.init.normal_(module.weight, std=(2.0 / module.in_channels) ** 0.5)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
