"""The composable U-Net: every part of it is a field of the config."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from objectives.config import EncoderUNet, UNet
from objectives.networks.blocks import block_of, init_he, up_of
from objectives.networks.context import bottleneck_layers
from objectives.networks.gates import skip_gate
from objectives.networks.padding import pad_to_multiple
from objectives.networks.supervision import DeeplySupervised, resized


class WayUp(nn.Module, ABC):
    """The bottleneck of a U-Net and its way up: a doubling to each level's filters, joined with the
    skip (gated or not) and a block. How it comes down is each network's own.

    Dropout follows every level's block, and that of the bottleneck.
    """

    def add_way_up(
        self, model: UNet | EncoderUNet, in_channels: int, *, context: Sequence[nn.Module] = ()
    ) -> None:
        """Add bottleneck and way up; ``in_channels`` are those of the deepest map that comes down.

        ``context`` follows all else in the bottleneck and keeps the shape.
        """
        filters = model.level_filters
        self.multiple = 2**model.depth
        ends = in_channels, filters[-1]
        self.bottleneck = nn.Sequential(
            *bottleneck_layers(model, *ends, lambda: level_block(model, *ends)), *context
        )
        coarse_to_fine = list(pairwise(reversed(filters)))
        self.up = nn.ModuleList(up_of(model.up, *ends) for ends in coarse_to_fine)
        self.join = nn.ModuleList(Join(model, level) for _, level in coarse_to_fine)

    @abstractmethod
    def way_down(self, images_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the skips, fine to coarse, each with the filters of its level, and the deepest map."""

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the features of each level of the way up, coarse to fine, of the images padded to
        what depth divides.
        """
        skips, x_BCHW = self.way_down(pad_to_multiple(images_BCHW, self.multiple))
        x_BCHW = self.bottleneck(x_BCHW)
        features: list[Tensor] = []
        for up, join in zip(self.up, self.join, strict=True):
            x_BCHW = join(skips.pop(), up(x_BCHW))
            features.append(x_BCHW)
        return features


@final
class ComposableUNet(DeeplySupervised):
    """A way down, a bottleneck and a way up with skips, and a 1 x 1 head; with deep supervision one
    more at each level.

    The auxiliary heads stand at all levels of the way up but the finest, whose head is the
    network's own.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597), figure 1, padded so that the size is kept.
    """

    def __init__(self, model: UNet | EncoderUNet, path: WayUp, *, num_classes: int) -> None:
        super().__init__()
        filters = model.level_filters
        self.path = path
        self.head = nn.Conv2d(filters[0], num_classes, 1)
        supervised = filters[1:-1] if model.deep_supervision else []
        self.auxiliary = nn.ModuleList(nn.Conv2d(level, num_classes, 1) for level in supervised)

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


def build_unet(model: UNet, *, in_channels: int, num_classes: int) -> ComposableUNet:
    """Return the U-Net of blocks alone, with random weights."""
    network = ComposableUNet(model, UNetPath(model, in_channels), num_classes=num_classes)
    init_he(network)
    return network


@final
class UNetPath(WayUp):
    """A U-Net without a head: going down, each level is a block and a 2 x 2 pooling.

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
        above = model.level_filters[:-1]
        self.down = nn.ModuleList(
            level_block(model, *ends) for ends in pairwise([in_channels, *above])
        )
        self.pool = pool(2)
        self.add_way_up(model, above[-1], context=context)

    def way_down(self, images_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the skips, fine to coarse, and the deepest map."""
        x_BCHW = images_BCHW
        skips: list[Tensor] = []
        for block in self.down:
            x_BCHW = block(x_BCHW)
            skips.append(x_BCHW)
            x_BCHW = self.pool(x_BCHW)
        return skips, x_BCHW


@final
class Join(nn.Module):
    """One level of the way up: the skip, gated or not, beside the upsampled features,
    then a block.
    """

    def __init__(self, model: UNet | EncoderUNet, filters: int) -> None:
        super().__init__()
        self.gate = skip_gate(model.skip, filters)
        self.block = level_block(model, 2 * filters, filters)

    def forward(self, skip_BCHW: Tensor, upsampled_BCHW: Tensor) -> Tensor:
        """Return the level's features, (B, filters, H, W)."""
        if self.gate is not None:
            skip_BCHW = self.gate(skip_BCHW, upsampled_BCHW)
        features_BCHW: Tensor = self.block(torch.cat([skip_BCHW, upsampled_BCHW], dim=1))
        return features_BCHW


def level_block(model: UNet | EncoderUNet, in_channels: int, out_channels: int) -> nn.Module:
    """Return the block of one level."""
    return block_of(
        model.block,
        in_channels,
        out_channels,
        norm=model.norm,
        dropout=model.dropout,
        kernel_size=model.kernel_size,
    )
