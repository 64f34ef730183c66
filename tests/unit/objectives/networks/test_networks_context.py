"""Bottlenecks: how far they see, and what stands in the place of what."""

import torch
from torch import nn

from objectives.config import UNet
from objectives.networks.context import DilatedContext, DilatedSequence, SqueezeExcitation
from objectives.networks.unet import UNetPath


def sight(layer: nn.Module, channels: int) -> tuple[int, int]:
    """Height and width of what one output pixel sees."""
    map_BCHW = torch.randn(1, channels, 31, 31, requires_grad=True)
    layer.eval()(map_BCHW)[0, :, 15, 15].sum().backward()
    assert map_BCHW.grad is not None
    rows, columns = map_BCHW.grad.abs().sum((0, 1)).nonzero(as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def test_a_sequence_sees_farther_than_its_members_side_by_side() -> None:
    torch.manual_seed(0)
    assert sight(DilatedSequence(6, 12, "batch"), 6) == (15, 15)  # 1 + 2 (1 + 2 + 4)
    assert sight(DilatedContext(12, "batch"), 12) == (9, 9)  # 1 + 2 * 4


def test_the_sequence_stands_in_place_of_the_block_and_the_others_follow_it() -> None:
    sequence = UNetPath(
        UNet(
            depth=2, base_filters=8, bottleneck="dilated_sequence_squeeze_excitation", dropout=0.2
        ),
        1,
    ).bottleneck
    side_by_side = UNetPath(
        UNet(depth=2, base_filters=8, bottleneck="dilated_squeeze_excitation"), 1
    ).bottleneck
    plain = UNetPath(UNet(depth=2, base_filters=8), 1).bottleneck
    assert [type(each) for each in sequence] == [DilatedSequence, SqueezeExcitation]
    assert [type(each) for each in side_by_side] == [
        type(plain[0]),
        DilatedContext,
        SqueezeExcitation,
    ]
    assert [conv.dilation for conv in sequence.modules() if isinstance(conv, nn.Conv2d)][:3] == [
        (1, 1),
        (2, 2),
        (4, 4),
    ]
    # report D drops on the ways down and up
    assert not any(isinstance(each, nn.Dropout2d) for each in sequence.modules())
