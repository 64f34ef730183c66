"""Networks: one family a file, chosen by the config's kind. All map images (B, C, H, W) to logits
(B, K, H, W).
"""

from typing import assert_never

from torch import nn

from objectives.config import (
    BackgroundUNet,
    ConvStack,
    DeepLab,
    DoubleUNet,
    EncoderUNet,
    ForeignNetwork,
    Model,
    NestedUNet,
    Smp,
    UNet,
)
from objectives.networks.background_unet import MaskedUNet
from objectives.networks.conv_stack import Convolutions
from objectives.networks.deeplab import DeepLabV3
from objectives.networks.double_unet import DoubleUNetwork
from objectives.networks.nested_unet import NestedUNetwork
from objectives.networks.supervision import DeeplySupervised, all_outputs
from objectives.networks.unet import build_unet

__all__ = ["DeeplySupervised", "all_outputs", "build_network", "count_parameters"]


def build_network(model: Model, *, in_channels: int, num_classes: int) -> nn.Module:
    """Return the network that ``model`` describes, with fresh random weights from torch's
    generator.

    Its ``forward`` takes float images (B, ``in_channels``, H, W) of any height and width and
    returns logits (B, ``num_classes``, H, W).
    """
    match model:
        case UNet():
            return build_unet(model, in_channels=in_channels, num_classes=num_classes)
        case NestedUNet():
            return NestedUNetwork(model, in_channels=in_channels, num_classes=num_classes)
        case DoubleUNet():
            return DoubleUNetwork(model, in_channels=in_channels, num_classes=num_classes)
        case DeepLab():
            return DeepLabV3(model, in_channels=in_channels, num_classes=num_classes)
        case ConvStack():
            return Convolutions(model, in_channels=in_channels, num_classes=num_classes)
        case BackgroundUNet():
            return MaskedUNet(model, in_channels=in_channels, num_classes=num_classes)
        # smp takes seconds to import; most trials never need it
        case EncoderUNet():
            from objectives.networks.encoder_unet import build_encoder_unet

            return build_encoder_unet(model, in_channels=in_channels, num_classes=num_classes)
        case Smp():
            from objectives.networks.smp import build_smp

            return build_smp(model, in_channels=in_channels, num_classes=num_classes)
        case ForeignNetwork():
            network: nn.Module = model.build(in_channels=in_channels, num_classes=num_classes)
            return network
        case _:
            assert_never(model)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
