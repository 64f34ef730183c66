"""The composable U-Net: every part of it is a field of the config."""

from typing import assert_never, final

import torch
from torch import Tensor, nn

from objectives.config import UNet
from objectives.networks.blocks import (
    AttentionGate,
    DilatedContext,
    PlainBlock,
    ResidualBlock,
    SqueezeExcitation,
    bilinear_up,
    init_he,
    transpose_up,
)
from objectives.networks.padding import pad_to_multiple


def level_filters(model: UNet) -> list[int]:
    """Return the filters of each level, from full size (0) to the bottleneck (depth)."""
    return [round(model.base_filters * model.growth**level) for level in range(model.depth + 1)]


@final
class ComposableUNet(nn.Module):
    """Encoder, bottleneck and decoder with skips, and a 1 x 1 head.

    Going down, each level is a block and a 2 x 2 max-pooling; going up, a doubling to the level's filters, joined with the
    skip (gated or not) and a block. Dropout drops whole feature maps (Tompson et al. 2015, arXiv:1411.4280) after every
    level's block, on both ways and in the bottleneck.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597), figure 1, padded so that the size is kept.
    """

    def __init__(self, model: UNet, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        filters = level_filters(model)
        self.multiple = 2**model.depth
        self.down = nn.ModuleList(_block(model, *ends) for ends in zip([in_channels, *filters[:-2]], filters[:-1], strict=True))
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = nn.Sequential(_block(model, filters[-2], filters[-1]), *_context(model, filters[-1]))
        coarse_to_fine = list(zip(filters[:0:-1], filters[-2::-1], strict=True))
        self.up = nn.ModuleList(_up(model, *ends) for ends in coarse_to_fine)
        self.join = nn.ModuleList(Join(model, level) for _, level in coarse_to_fine)
        self.head = nn.Conv2d(filters[0], num_classes, 1)
        init_he(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images of any height and width."""
        height, width = images_BCHW.shape[-2:]
        x_BCHW = pad_to_multiple(images_BCHW, self.multiple)
        skips: list[Tensor] = []
        for block in self.down:
            x_BCHW = block(x_BCHW)
            skips.append(x_BCHW)
            x_BCHW = self.pool(x_BCHW)
        x_BCHW = self.bottleneck(x_BCHW)
        for up, join in zip(self.up, self.join, strict=True):
            x_BCHW = join(skips.pop(), up(x_BCHW))
        logits_BKHW: Tensor = self.head(x_BCHW)
        return logits_BKHW[..., :height, :width]


@final
class Join(nn.Module):
    """One level of the way up: the skip, gated or not, beside the upsampled features, then a block."""

    def __init__(self, model: UNet, filters: int) -> None:
        super().__init__()
        self.gate = _gate(model, filters)
        self.block = _block(model, 2 * filters, filters)

    def forward(self, skip_BCHW: Tensor, upsampled_BCHW: Tensor) -> Tensor:
        """Return the level's features, (B, filters, H, W)."""
        if self.gate is not None:
            skip_BCHW = self.gate(skip_BCHW, upsampled_BCHW)
        features_BCHW: Tensor = self.block(torch.cat([skip_BCHW, upsampled_BCHW], dim=1))
        return features_BCHW


def _block(model: UNet, in_channels: int, out_channels: int) -> nn.Module:
    match model.block:
        case "plain":
            block: nn.Module = PlainBlock(in_channels, out_channels, model.kernel_size, model.norm)
        case "residual":
            block = ResidualBlock(in_channels, out_channels, model.kernel_size, model.norm)
        case _:
            assert_never(model.block)
    return nn.Sequential(block, nn.Dropout2d(model.dropout)) if model.dropout > 0.0 else block


def _gate(model: UNet, filters: int) -> nn.Module | None:
    match model.skip:
        case "concat":
            return None
        case "attention":
            return AttentionGate(filters)
        case _:
            assert_never(model.skip)


def _up(model: UNet, in_channels: int, out_channels: int) -> nn.Module:
    match model.up:
        case "transpose":
            return transpose_up(in_channels, out_channels)
        case "bilinear":
            return bilinear_up(in_channels, out_channels)
        case _:
            assert_never(model.up)


def _context(model: UNet, channels: int) -> list[nn.Module]:
    match model.bottleneck:
        case "plain":
            return []
        case "dilated":
            return [DilatedContext(channels, model.norm)]
        case "squeeze_excitation":
            return [SqueezeExcitation(channels)]
        case _:
            assert_never(model.bottleneck)
