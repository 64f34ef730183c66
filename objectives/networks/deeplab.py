"""DeepLabV3 with a small encoder."""

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import DeepLab, Norm
from objectives.networks.blocks import block_of, conv_norm, init_he
from objectives.networks.padding import pad_to_multiple
from objectives.networks.supervision import resized

RATE_MULTIPLES = (1, 2, 3)


@final
class DeepLabV3(nn.Module):
    """Encoder of blocks with 2 x 2 max-pooling between them, atrous spatial pyramid pooling, 1 x 1
    head, bilinear decoder.

    The decoder is that of the paper: the head's logits, of the encoder's last size, are resized to
    the images'.

    Source: Chen et al. 2017 (arXiv:1706.05587), section 3.3 and figure 5, on a plain encoder
    instead of a ResNet.
    """

    def __init__(self, model: DeepLab, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        filters = model.level_filters
        self.multiple = 2**model.depth
        self.down = nn.ModuleList(
            block_of(model.block, *ends, norm=model.norm, dropout=model.dropout)
            for ends in pairwise([in_channels, *filters])
        )
        self.pool = nn.MaxPool2d(2)
        self.pyramid = AtrousPyramid(filters[-1], model.rate, model.norm)
        self.dropout = nn.Dropout2d(model.dropout)
        self.head = nn.Conv2d(filters[-1], num_classes, 1)
        init_he(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images of any height and width."""
        height, width = images_BCHW.shape[-2:]
        padded_BCHW = pad_to_multiple(images_BCHW, self.multiple)
        first, *others = self.down
        x_BCHW: Tensor = first(padded_BCHW)
        for block in others:
            x_BCHW = block(self.pool(x_BCHW))
        logits_BKHW = self.head(self.dropout(self.pyramid(x_BCHW)))
        return resized(logits_BKHW, *padded_BCHW.shape[-2:])[..., :height, :width]


@final
class AtrousPyramid(nn.Module):
    """Side by side, all of C channels: a 1 x 1, three 3 x 3 dilated by ``rate`` times 1, 2, 3, and
    the mean of the image.

    A 1 x 1 convolution joins them. The image's branch has no norm: one value for each channel of an
    image is too few.

    Source: Chen et al. 2017 (arXiv:1706.05587), section 3.3, parts (a) and (b) of figure 5.
    """

    def __init__(self, channels: int, rate: int, norm: Norm) -> None:
        super().__init__()
        dilated = (
            conv_norm(channels, channels, 3, norm, dilation=rate * multiple)
            for multiple in RATE_MULTIPLES
        )
        self.branches = nn.ModuleList([conv_norm(channels, channels, 1, norm), *dilated])
        self.of_image = nn.Conv2d(channels, channels, 1)
        self.join = conv_norm((len(self.branches) + 1) * channels, channels, 1, norm)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        branches = [functional.relu(branch(x_BCHW)) for branch in self.branches]
        mean_BC11 = functional.relu(self.of_image(x_BCHW.mean(dim=(2, 3), keepdim=True)))
        spread_BCHW = mean_BC11.expand(-1, -1, *x_BCHW.shape[-2:])
        return functional.relu(self.join(torch.cat([*branches, spread_BCHW], dim=1)))
