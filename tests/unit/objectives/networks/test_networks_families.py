"""What makes each family what it is: its connections, pools, rates and masks."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import BackgroundUNet, ConvStack, DeepLab, DoubleUNet, Model, NestedUNet
from objectives.networks import build_network
from objectives.networks.background_unet import MaskedUNet
from objectives.networks.blocks import PlainBlock, ResidualBlock
from objectives.networks.context import DilatedContext
from objectives.networks.conv_stack import Convolutions
from objectives.networks.deeplab import AtrousPyramid, DeepLabV3
from objectives.networks.double_unet import DoubleUNetwork
from objectives.networks.gates import AttentionGate
from objectives.networks.nested_unet import FusionGate, NestedUNetwork
from objectives.networks.transformer import Transformer

Network = TypeVar("Network", bound=nn.Module)


def built(model: Model, kind: type[Network], *, num_classes: int = 3) -> Network:
    torch.manual_seed(0)
    network = build_network(model, in_channels=1, num_classes=num_classes)
    assert isinstance(network, kind)
    return network


def count(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


def reached(parts: list[nn.Module], logits_BKHW: Tensor) -> list[bool]:
    """Whether a gradient of the logits reaches each part."""
    for part in parts:
        part.zero_grad(set_to_none=True)
    logits_BKHW.sum().backward(retain_graph=True)
    return [any(p.grad is not None for p in part.parameters()) for part in parts]


def test_nested_logits_are_the_average_of_the_heads_from_deep_to_shallow() -> None:
    network = built(NestedUNet(depth=3, base_filters=4), NestedUNetwork)
    average, *heads = network.outputs(torch.randn(2, 1, 16, 24))
    torch.testing.assert_close(average, (heads[0] + heads[1] + heads[2]) / 3)
    levels = list(network.down)
    assert [reached(levels, logits) for logits in heads] == [
        [True, True, True, True],
        [True, True, True, False],
        [True, True, False, False],
    ]


def test_a_nested_network_without_deep_supervision_has_the_deepest_head_only() -> None:
    network = built(NestedUNet(depth=2, base_filters=4, deep_supervision=False), NestedUNetwork)
    (logits,) = network.outputs(torch.randn(2, 1, 16, 24))
    assert len(network.heads) == 1
    assert reached(list(network.down), logits) == [True, True, True]


def test_every_node_joins_all_earlier_ones_of_its_level_and_one_from_below() -> None:
    network = built(NestedUNet(depth=3, base_filters=4, up="transpose"), NestedUNetwork)
    widths = [
        [
            next(m.in_channels for m in node.block.modules() if isinstance(m, nn.Conv2d))
            for node in nodes
        ]
        for nodes in network.nodes
    ]
    assert widths == [[2 * 4, 2 * 8, 2 * 16], [3 * 4, 3 * 8], [4 * 4]]
    from_below = [[node.up.in_channels for node in nodes] for nodes in network.nodes]
    assert from_below == [[8, 16, 32], [8, 16], [8]]


def test_the_nested_variant_of_report_a_has_a_gate_at_every_node_and_sees_three_scales() -> None:
    network = built(
        NestedUNet(depth=3, base_filters=4, fusion="gated", bottleneck="transformer"),
        NestedUNetwork,
    )
    assert count(network, FusionGate) == 3 + 2 + 1
    assert isinstance(network.bottleneck, Transformer)
    assert [layer.scales for layer in network.bottleneck.layers] == [(1, 2, 4)]


def test_the_double_network_has_one_path_for_detail_and_one_for_context() -> None:
    network = built(DoubleUNet(depth=2, base_filters=4, layers=3), DoubleUNetwork)
    assert isinstance(network.detail.pool, nn.MaxPool2d)
    assert isinstance(network.context.pool, nn.AvgPool2d)
    paths = (network.detail, network.context)
    assert [(count(path, ResidualBlock), count(path, PlainBlock)) for path in paths] == [
        (2 + 1 + 2, 0),
        (0, 2 + 1 + 2),
    ]
    assert [count(path, AttentionGate) for path in paths] == [2, 0]
    assert [count(path, Transformer) for path in paths] == [0, 1]
    assert [count(path, DilatedContext) for path in paths] == [1, 1]
    assert isinstance(network.context.bottleneck[-1], Transformer)
    assert len(network.context.bottleneck[-1].layers) == 3
    assert network.head.in_channels == 4 + 4


def test_the_pyramid_has_the_rates_of_the_paper_and_the_mean_of_the_image() -> None:
    pyramid = built(DeepLab(depth=1, base_filters=4, rate=6), DeepLabV3).pyramid
    convolutions = [
        m for branch in pyramid.branches for m in branch.modules() if isinstance(m, nn.Conv2d)
    ]
    assert [(m.kernel_size[0], m.dilation[0]) for m in convolutions] == [
        (1, 1),
        (3, 6),
        (3, 12),
        (3, 18),
    ]
    lone = AtrousPyramid(4, 40, "group")  # every dilated tap but the middle one falls outside
    x_BCHW = torch.rand(1, 4, 9, 9, requires_grad=True)
    nn.init.constant_(lone.of_image.bias, 10.0)  # past the ReLU
    lone(x_BCHW)[0, :, 0, 0].sum().backward()
    assert x_BCHW.grad is not None
    assert (x_BCHW.grad[0].abs().sum(0) > 0).all()


def test_a_stack_of_convolutions_sees_as_far_as_its_kernels_reach() -> None:
    network = built(ConvStack(depth=3, base_filters=16, kernel_size=5), Convolutions)
    image_BCHW = torch.randn(1, 1, 21, 21, requires_grad=True)
    network(image_BCHW)[..., 10, 10].square().sum().backward()
    assert image_BCHW.grad is not None
    rows = image_BCHW.grad[0, 0].abs().sum(1).nonzero().flatten().tolist()
    assert rows == list(range(10 - 6, 10 + 6 + 1))


def test_the_background_network_masks_the_other() -> None:
    network = built(BackgroundUNet(depth=2, base_filters=4, mask_filters=5), MaskedUNet).eval()
    images_BCHW = torch.randn(1, 1, 12, 10)
    background, others = (
        torch.sigmoid(network.background(images_BCHW)),
        network.classes(images_BCHW),
    )
    logits_BKHW = network(images_BCHW)
    torch.testing.assert_close(logits_BKHW[:, :1].exp(), background)
    torch.testing.assert_close(logits_BKHW[:, 1:], others + (1 - background).log())
    assert torch.equal(logits_BKHW[:, 1:].argmax(1), others.argmax(1)), (
        "where label 0 is not scored, the mask changes no label"
    )


def test_a_certain_mask_stays_finite() -> None:
    network = built(BackgroundUNet(depth=2, base_filters=4, mask_filters=4), MaskedUNet).eval()
    images_BCHW = torch.randn(1, 1, 8, 8)
    for certain, label in ((300.0, 0), (-300.0, 1)):
        nn.init.constant_(network.background.head.bias, certain)
        logits_BKHW = network(images_BCHW)
        assert logits_BKHW.isfinite().all()
        assert ((logits_BKHW.argmax(1) > 0).long() == label).all()
        functional.cross_entropy(logits_BKHW, torch.ones(1, 8, 8, dtype=torch.long)).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
