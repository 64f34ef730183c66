"""A U-Net whose way down is an encoder of segmentation-models-pytorch."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

from torch import Tensor, nn

from objectives.config import EncoderUNet
from objectives.networks.blocks import conv_norm, init_he
from objectives.networks.smp import encoder_of_depth
from objectives.networks.unet import ComposableUNet, WayUp, level_block


def build_encoder_unet(model: EncoderUNet, *, in_channels: int, num_classes: int) -> ComposableUNet:
    """Return the U-Net on the encoder that ``model`` names, with random weights.

    Raises:
        UserError: smp has no such encoder, or it cannot be cut at this depth.
    """
    encoder, maps = encoder_of_depth(model.encoder, in_channels, model.depth)
    path = EncoderPath(model, maps, in_channels)
    network = ComposableUNet(model, path, num_classes=num_classes)
    init_he(network)
    path.encoder = encoder  # it begins as its library has it
    return network


@final
class EncoderPath(WayUp):
    """A U-Net without a head, on an encoder: each of the encoder's maps becomes a skip by a 1 x 1
    convolution to its level's filters, with norm and ReLU.

    Most encoders have no map at full size, those that begin with patches of 4 x 4 none at half size
    either: the levels above the first map are blocks of the U-Net's own, so that no detail is lost.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597) on an encoder that was trained before, as in
    Iglovikov and Shvets 2018 (arXiv:1801.05746); the 1 x 1 convolutions are those of Lin et al.
    2017 (arXiv:1612.03144), figure 3.
    """

    encoder: nn.Module

    def __init__(self, model: EncoderUNet, maps: Sequence[int], in_channels: int) -> None:
        """``maps`` are the channels of the encoder's maps, one a level from full size on; 0: it has
        none.
        """
        super().__init__()
        filters = model.level_filters
        self.first = next(level for level, channels in enumerate(maps) if channels)
        own = pairwise([in_channels, *filters[: self.first]])
        self.own = nn.ModuleList(level_block(model, *ends) for ends in own)
        self.pool = nn.MaxPool2d(2)
        lateral = zip(maps[self.first : -1], filters[self.first : -1], strict=True)
        self.lateral = nn.ModuleList(
            nn.Sequential(conv_norm(*ends, 1, model.norm), nn.ReLU(inplace=True))
            for ends in lateral
        )
        self.add_way_up(model, maps[-1])

    def way_down(self, images_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the skips, fine to coarse, and the deepest map."""
        *maps, deepest = self.encoder(images_BCHW)
        skips: list[Tensor] = []
        x_BCHW = images_BCHW
        for block in self.own:
            skips.append(block(x_BCHW))
            x_BCHW = self.pool(skips[-1])
        skips += [
            lateral(each) for lateral, each in zip(self.lateral, maps[self.first :], strict=True)
        ]
        return skips, deepest
