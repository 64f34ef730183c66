"""The composable U-Net and the parts that it is made of."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from objectives.config import UNet
from objectives.networks import build_network, count_parameters
from objectives.networks.blocks import group_count, up_of
from objectives.networks.context import DilatedContext, SqueezeExcitation
from objectives.networks.padding import pad_to_multiple
from objectives.networks.unet import ComposableUNet


def unet(**fields: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_network(UNet(**fields), in_channels=1, num_classes=5)


def test_the_levels_have_these_filters() -> None:
    network = unet(depth=3, base_filters=6, growth=1.5)
    widths = [
        [m.out_channels for m in part.modules() if isinstance(m, nn.Conv2d)]
        for part in (network.path.down, network.path.bottleneck)
    ]
    assert widths == [[6, 6, 9, 9, 14, 14], [20, 20]]  # 6, 9, 13.5, 20.25


def test_parameters_by_hand_residual_bilinear_depth_2() -> None:
    """Levels 8 and 16, bottleneck 32, 5 x 5; shortcuts are 1 x 1 with norm, upsampling starts with
    a 1 x 1 with bias.
    """

    def block(inputs: int, outputs: int) -> int:
        return 25 * inputs * outputs + 25 * outputs * outputs + inputs * outputs + 3 * 2 * outputs

    ups = (32 * 16 + 16) + (16 * 8 + 8)
    blocks = block(3, 8) + block(8, 16) + block(16, 32) + block(32, 16) + block(16, 8)
    network = build_network(
        UNet(depth=2, base_filters=8, kernel_size=5, block="residual", up="bilinear"),
        in_channels=3,
        num_classes=2,
    )
    assert count_parameters(network) == blocks + ups + (8 * 2 + 2)


def test_no_convolution_before_a_norm_has_a_bias() -> None:
    network = unet(depth=2, base_filters=8, block="residual", bottleneck="dilated")
    chains = [list(m.children()) for m in network.modules() if isinstance(m, nn.Sequential)]
    pairs = [
        (a, b) for chain in chains for a, b in pairwise(chain) if isinstance(b, nn.BatchNorm2d)
    ]
    assert pairs
    assert all(isinstance(conv, nn.Conv2d) and conv.bias is None for conv, _ in pairs)


def test_convolutions_start_with_the_variance_of_he() -> None:
    convolution = next(
        m
        for m in unet(base_filters=64).modules()
        if isinstance(m, nn.Conv2d) and m.in_channels == 64
    )
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)


def test_dropout_drops_whole_feature_maps_in_training_only() -> None:
    network = unet(depth=2, base_filters=8, dropout=0.5)
    assert sum(isinstance(m, nn.Dropout2d) for m in network.modules()) == 2 + 1 + 2
    images_BCHW = torch.randn(2, 1, 16, 16)
    assert not torch.equal(network.train()(images_BCHW), network(images_BCHW))
    assert torch.equal(network.eval()(images_BCHW), network(images_BCHW))


@pytest.mark.parametrize(
    ("channels", "groups"), [(4, 1), (8, 2), (12, 3), (37, 1), (48, 8), (64, 8)]
)
def test_group_count_divides_the_channels(channels: int, groups: int) -> None:
    assert group_count(channels) == groups


def test_squeeze_excitation_scales_each_channel_by_one_number_between_0_and_1() -> None:
    x_BCHW = torch.rand(2, 8, 5, 7) + 0.1
    scale = SqueezeExcitation(8)(x_BCHW) / x_BCHW
    torch.testing.assert_close(scale, scale[..., :1, :1].expand_as(scale))
    assert 0 < scale.min() < scale.max() < 1


def test_dilated_context_sees_four_pixels_away() -> None:
    torch.manual_seed(0)
    x_BCHW = torch.randn(1, 64, 17, 17, requires_grad=True)
    DilatedContext(64, "batch").eval()(x_BCHW)[0, :, 8, 8].sum().backward()
    assert x_BCHW.grad is not None
    seen = x_BCHW.grad[0].abs().sum(0).nonzero()
    assert sorted({int(row) for row, _ in seen}) == [4, 6, 7, 8, 9, 10, 12]


def test_padding_repeats_the_edge_and_leaves_fitting_images_alone() -> None:
    image_BCHW = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert pad_to_multiple(image_BCHW, 4)[0, 0].tolist() == [
        [0, 1, 2, 2],
        [3, 4, 5, 5],
        [3, 4, 5, 5],
        [3, 4, 5, 5],
    ]
    assert pad_to_multiple(image_BCHW, 1) is image_BCHW


def test_nearest_upsampling_repeats_each_pixel_before_it_is_smoothed() -> None:
    up = up_of("nearest", 1, 1)
    kernel = torch.zeros(1, 1, 3, 3)
    kernel[0, 0, 1, 1] = 1.0
    up.load_state_dict({"1.weight": kernel, "1.bias": torch.tensor([0.5])})
    image_BCHW = torch.tensor([[[[1.0, 2.0]]]])
    assert up(image_BCHW)[0, 0].tolist() == [[1.5, 1.5, 2.5, 2.5]] * 2


def test_the_residual_bottleneck_is_one_more_residual_block() -> None:
    """Two 3 x 3 convolutions of 32 channels with norms; the shortcut has no weights."""
    plain, residual = (
        unet(depth=2, base_filters=8),
        unet(depth=2, base_filters=8, bottleneck="residual"),
    )
    assert count_parameters(residual) - count_parameters(plain) == 2 * (9 * 32 * 32 + 2 * 32)


def test_auxiliary_heads_stand_at_every_coarser_level_of_the_way_up() -> None:
    network = unet(depth=4, base_filters=4, deep_supervision=True)
    assert isinstance(network, ComposableUNet)
    assert [head.in_channels for head in network.auxiliary] == [8, 16, 32]
    for value, head in enumerate(network.auxiliary, start=1):
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, value)
    _, *coarse = network.outputs(torch.randn(2, 1, 20, 30))
    assert [logits.unique().tolist() for logits in coarse] == [[1.0], [2.0], [3.0]]
