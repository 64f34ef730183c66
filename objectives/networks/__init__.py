"""Networks: one family a file, chosen by the config's kind. All map images (B, C, H, W) to logits (B, K, H, W)."""

from typing import assert_never

from torch import nn

from objectives.config import Model, UNet
from objectives.networks.unet import ComposableUNet, level_filters

__all__ = ["build_network", "count_parameters", "level_filters"]


def build_network(model: Model, *, in_channels: int, num_classes: int) -> nn.Module:
    """Return the network that ``model`` describes, with fresh random weights from torch's generator.

    Its ``forward`` takes float images (B, ``in_channels``, H, W) of any height and width and returns logits
    (B, ``num_classes``, H, W).
    """
    match model:
        case UNet():
            return ComposableUNet(model, in_channels=in_channels, num_classes=num_classes)
        case _:
            assert_never(model)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
