"""Two U-Nets: one tells the classes apart, the other the first label from all others."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import BackgroundUNet, UNet
from objectives.networks.unet import build_unet


@final
class MaskedUNet(nn.Module):
    """The second U-Net's logit m of a pixel masks the first's logits z of labels 1 to K - 1.

    p = sigmoid(m) is the probability of label 0; logits are log p for label 0 and z_k + log(1 - p)
    for label k > 0.

    Source: report E's "Background Neural Network", which is not explained there; this is how it is
    read here. Both are U-Nets of Ronneberger et al. 2015 (arXiv:1505.04597).
    """

    def __init__(self, model: BackgroundUNet, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        shape = UNet(depth=model.depth, growth=model.growth, norm=model.norm, dropout=model.dropout)
        of_classes = shape.model_copy(update={"base_filters": model.base_filters})
        of_background = shape.model_copy(update={"base_filters": model.mask_filters})
        self.classes = build_unet(of_classes, in_channels=in_channels, num_classes=num_classes - 1)
        self.background = build_unet(of_background, in_channels=in_channels, num_classes=1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images of any height and width."""
        background_B1HW: Tensor = self.background(images_BCHW)
        # log(1 - p), safe where p is 1
        others_BKHW = self.classes(images_BCHW) + functional.logsigmoid(-background_B1HW)
        return torch.cat([functional.logsigmoid(background_B1HW), others_BKHW], dim=1)
