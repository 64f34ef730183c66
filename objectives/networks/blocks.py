"""The parts that networks are composed of; all keep height and width unless they say otherwise."""

from typing import assert_never, final

from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Block, Norm, Up

MOST_GROUPS = 8
LEAST_CHANNELS_PER_GROUP = 4  # fewer make group norm wipe out what a channel says
SQUEEZE_RATIO = 8
LEAST_SQUEEZED = 8  # with fewer, all of them may be dead from the start


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Return batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167) or group norm (Wu and He 2018,
    arXiv:1803.08494).
    """
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(group_count(channels), channels)
        case _:
            assert_never(norm)


def group_count(channels: int) -> int:
    """Return the most groups, at most 8, that divide ``channels`` and hold at least 4 channels each
    (1 if none do).
    """
    fitting = (
        n
        for n in range(1, MOST_GROUPS + 1)
        if channels % n == 0 and channels // n >= LEAST_CHANNELS_PER_GROUP
    )
    return max(fitting, default=1)


def squeezed_channels(channels: int) -> int:
    """Return how many channels a gate squeezes ``channels`` into: an eighth, but at least 8."""
    return max(LEAST_SQUEEZED, channels // SQUEEZE_RATIO)


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, norm: Norm, *, dilation: int = 1
) -> nn.Sequential:
    """Return a convolution of the same size with its norm; no bias, which the norm would take out
    again.
    """
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False
    )
    return nn.Sequential(conv, norm_layer(norm, out_channels))


def block_of(
    block: Block,
    in_channels: int,
    out_channels: int,
    *,
    norm: Norm,
    dropout: float = 0.0,
    kernel_size: int = 3,
) -> nn.Module:
    """Return a level's block; dropout, if any, drops whole feature maps (Tompson et al. 2015,
    arXiv:1411.4280) after it.
    """
    match block:
        case "plain":
            layer: nn.Module = PlainBlock(in_channels, out_channels, kernel_size, norm)
        case "residual":
            layer = ResidualBlock(in_channels, out_channels, kernel_size, norm)
        case _:
            assert_never(block)
    return nn.Sequential(layer, nn.Dropout2d(dropout)) if dropout > 0.0 else layer


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
    """ReLU(F(x) + x), F two k x k convolutions with norms; x is projected by 1 x 1 and norm where
    the channels change.

    Source: He et al. 2016 (arXiv:1512.03385), equations 1 and 2. Report A's U-Nets with residual
    blocks and attention gates (A5, A6) cite Chen et al. 2020 (arXiv:2004.05645), which aggregates
    many narrow such transformations instead.
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


def up_of(up: Up, in_channels: int, out_channels: int) -> nn.Module:
    """Return a doubling of height and width to ``out_channels``."""
    match up:
        case "transpose":
            return transpose_up(in_channels, out_channels)
        case "bilinear":
            return bilinear_up(in_channels, out_channels)
        case "nearest":
            return nearest_up(in_channels, out_channels)
        case _:
            assert_never(up)


def transpose_up(in_channels: int, out_channels: int) -> nn.Module:
    """Return a learnt doubling of height and width: a 2 x 2 transposed convolution (Ronneberger et
    al. 2015).
    """
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)


def bilinear_up(in_channels: int, out_channels: int) -> nn.Module:
    """Return a bilinear doubling of height and width after a 1 x 1 convolution (cheaper so; the two
    commute).
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    )


def nearest_up(in_channels: int, out_channels: int) -> nn.Module:
    """Return a plain doubling of height and width, every pixel four times, and a 3 x 3 convolution
    that smooths it.

    Source: Odena et al. 2016 (Distill, doi:10.23915/distill.00003), resize-convolution.
    """
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
    )


def init_he(network: nn.Module) -> None:
    """Set the weights of all convolutions by He et al. 2015 (arXiv:1502.01852, equation 10), their
    biases to 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        # stride = kernel: each output sees one tap of every input channel
        elif isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=(2.0 / module.in_channels) ** 0.5)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
