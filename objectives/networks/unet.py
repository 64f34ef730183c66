"""The composable U-Net: every part of it is a field of the config."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from objectives.config import UNet
from objectives.networks.blocks import block_of, init_he, up_of
from objectives.networks.context import bottleneck_layers
from objectives.networks.gates import skip_gate
from objectives.networks.padding import pad_to_multiple
from objectives.networks.supervision import DeeplySupervised, resized


@final
class ComposableUNet(DeeplySupervised):
    """Encoder, bottleneck and decoder with skips, and a 1 x 1 head; with deep supervision one more
    at each level.

    The auxiliary heads stand at all levels of the way up but the finest, whose head is the
    network's own.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597), figure 1, padded so that the size is kept.
    """

    def __init__(self, model: UNet, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        filters = model.level_filters
        self.path = UNetPath(model, in_channels)
        self.head = nn.Conv2d(filters[0], num_classes, 1)
        supervised = filters[1:-1] if model.deep_supervision else []
        self.auxiliary = nn.ModuleList(nn.Conv2d(level, num_classes, 1) for level in supervised)
        init_he(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images of any height and width."""
        height, width = images_BCHW.shape[-2:]
        logits_BKHW: Tensor = self.head(self.path(images_BCHW)[-1])
        return logits_BKHW[..., :height, :width]

    def outputs(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of ``forward``, then those of the coarser levels, fine to coarse, all
        (B, K, H, W).
        """
        height, width = images_BCHW.shape[-2:]
        *coarser, finest = self.path(images_BCHW)
        # without deep supervision there are no such heads
        pairs = zip(self.auxiliary, reversed(coarser), strict=False)
        coarse = (resized(head(features), *finest.shape[-2:]) for head, features in pairs)
        return tuple(logits[..., :height, :width] for logits in (self.head(finest), *coarse))


@final
class UNetPath(nn.Module):
    """A U-Net without a head.

    Going down, each level is a block and a 2 x 2 pooling; going up, a doubling to the level's
    filters, joined with the skip (gated or not) and a block. Dropout follows every level's block,
    on both ways and in the bottleneck.

    ``pool`` halves height and width; ``context`` follows all else in the bottleneck and keeps the
    shape.
    """

    def __init__(
        self,
        model: UNet,
        in_channels: int,
        *,
        pool: type[nn.Module] = nn.MaxPool2d,
        context: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        filters = model.level_filters
        self.multiple = 2**model.depth
        self.down = nn.ModuleList(
            level_block(model, *ends) for ends in pairwise([in_channels, *filters[:-1]])
        )
        self.pool = pool(2)
        ends = filters[-2], filters[-1]
        self.bottleneck = nn.Sequential(
            *bottleneck_layers(model, *ends, lambda: level_block(model, *ends)), *context
        )
        coarse_to_fine = list(pairwise(reversed(filters)))
        self.up = nn.ModuleList(up_of(model.up, *ends) for ends in coarse_to_fine)
        self.join = nn.ModuleList(Join(model, level) for _, level in coarse_to_fine)

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the features of each level of the way up, coarse to fine, of the images padded to
        what depth divides.
        """
        x_BCHW = pad_to_multiple(images_BCHW, self.multiple)
        skips: list[Tensor] = []
        for block in self.down:
            x_BCHW = block(x_BCHW)
            skips.append(x_BCHW)
            x_BCHW = self.pool(x_BCHW)
        x_BCHW = self.bottleneck(x_BCHW)
        features: list[Tensor] = []
        for up, join in zip(self.up, self.join, strict=True):
            x_BCHW = join(skips.pop(), up(x_BCHW))
            features.append(x_BCHW)
        return features


@final
class Join(nn.Module):
    """One level of the way up: the skip, gated or not, beside the upsampled features,
    then a block.
    """

    def __init__(self, model: UNet, filters: int) -> None:
        super().__init__()
        self.gate = skip_gate(model.skip, filters)
        self.block = level_block(model, 2 * filters, filters)

    def forward(self, skip_BCHW: Tensor, upsampled_BCHW: Tensor) -> Tensor:
        """Return the level's features, (B, filters, H, W)."""
        if self.gate is not None:
            skip_BCHW = self.gate(skip_BCHW, upsampled_BCHW)
        features_BCHW: Tensor = self.block(torch.cat([skip_BCHW, upsampled_BCHW], dim=1))
        return features_BCHW


def level_block(model: UNet, in_channels: int, out_channels: int) -> nn.Module:
    """Return the block of one level."""
    return block_of(
        model.block,
        in_channels,
        out_channels,
        norm=model.norm,
        dropout=model.dropout,
        kernel_size=model.kernel_size,
    )
