"""The double U-Net: one path for detail and one for context, side by side."""

from typing import final

import torch
from torch import Tensor, nn

from objectives.config import DoubleUNet, UNet
from objectives.networks.blocks import init_he
from objectives.networks.transformer import Transformer
from objectives.networks.unet import UNetPath


@final
class DoubleUNetwork(nn.Module):
    """Two U-Nets read the images; a final 1 x 1 convolution joins their features of full size.

    The detail path has residual blocks and attention gates, the context path average pooling and,
    last in its bottleneck, a transformer. Both have dilated context in the bottleneck and
    transposed convolutions.

    Source: report A's Double U-Net, which has no paper; its parts are cited where they are defined.
    Two U-Nets whose outputs are concatenated: Jha et al. 2020 (arXiv:2006.04868), there one after
    the other.
    """

    def __init__(self, model: DoubleUNet, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        filters = model.level_filters
        detail = _path(model, UNet(block="residual", skip="attention"))
        context = _path(model, UNet())
        transformer = Transformer(
            filters[-1], heads=model.heads, layers=model.layers, dropout=model.dropout
        )
        self.detail = UNetPath(detail, in_channels)
        self.context = UNetPath(context, in_channels, pool=nn.AvgPool2d, context=[transformer])
        self.head = nn.Conv2d(2 * filters[0], num_classes, 1)
        init_he(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images of any height and width."""
        height, width = images_BCHW.shape[-2:]
        both_BCHW = torch.cat([self.detail(images_BCHW)[-1], self.context(images_BCHW)[-1]], dim=1)
        logits_BKHW: Tensor = self.head(both_BCHW)
        return logits_BKHW[..., :height, :width]


def _path(model: DoubleUNet, kind: UNet) -> UNet:
    """Return ``kind`` at the size of ``model``, with dilated context."""
    shared = {
        name: getattr(model, name)
        for name in ("depth", "base_filters", "growth", "norm", "dropout")
    }
    return kind.model_copy(update={**shared, "bottleneck": "dilated"})
