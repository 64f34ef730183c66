"""A stack of convolutions at full size: the least that a network can be."""

from itertools import pairwise
from typing import final

from torch import Tensor, nn

from objectives.config import ConvStack
from objectives.networks.blocks import init_he


@final
class Convolutions(nn.Module):
    """``depth`` k x k convolutions with bias and ReLU, padded with zeros, then a 1 x 1 head; no
    norms.

    Without convolutions the head is a multinomial logistic regression of each pixel alone.

    Source: Long et al. 2015 (arXiv:1411.4038), section 3: convolutions only, so that any size will
    do; reports' A1 and A2.
    """

    def __init__(self, model: ConvStack, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        ends = [in_channels, *model.level_filters]
        padding = model.kernel_size // 2
        self.layers = nn.Sequential()
        for inputs, outputs in pairwise(ends):
            self.layers.append(nn.Conv2d(inputs, outputs, model.kernel_size, padding=padding))
            self.layers.append(nn.ReLU(inplace=True))
        self.head = nn.Conv2d(ends[-1], num_classes, 1)
        init_he(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images of any height and width."""
        logits_BKHW: Tensor = self.head(self.layers(images_BCHW))
        return logits_BKHW
