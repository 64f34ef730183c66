"""The reports' networks: filters of each level as they are built, and parameters counted
by hand.
"""

import pytest
import torch
from torch import Tensor, nn

from objectives.config import ConvStack, Levelled, Smp, UNet
from objectives.networks import build_network, count_parameters
from objectives.networks.deeplab import DeepLabV3
from objectives.networks.nested_unet import NestedUNetwork
from objectives.networks.unet import ComposableUNet
from spaces import choose_recipes


def shipped(name: str) -> Levelled:
    """The network of a recipe."""
    (recipe,) = choose_recipes(name)
    assert not isinstance(recipe.config.model, Smp)
    return recipe.config.model


A3, A4, A5, A8, A9, A10 = (shipped(row) for row in ("A3", "A4", "A5", "A8", "A9", "A10"))
E1 = shipped("E1-unet")


def built(model: Levelled) -> nn.Module:
    with torch.device("meta"):  # full size, without the memory
        return build_network(model, in_channels=1, num_classes=5)


def encoder_of(network: nn.Module) -> list[nn.Module]:
    """The blocks of the way down, the bottleneck last."""
    match network:
        case ComposableUNet():
            return [*network.path.down, network.path.bottleneck]
        case NestedUNetwork():
            return [*list(network.down)[:-1], network.bottleneck]
        case DeepLabV3():
            return [*network.down]
        case _:
            raise AssertionError(network)


def shapes_seen(parts: list[nn.Module], network: nn.Module) -> list[tuple[int, int]]:
    """Channels and height of what each part returns for images of height 64."""
    seen: list[tuple[int, int]] = []

    def look(_part: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.append((output.shape[1], output.shape[2]))

    hooks = [part.register_forward_hook(look) for part in parts]
    network(torch.empty(2, 1, 64, 128, device="meta"))
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(
    ("model", "filters"),
    [
        (A3, [32, 64, 128]),
        (A4, [32, 64, 128, 256]),
        (A5, [64, 128, 256, 512]),
        (A8, [32, 64, 128]),
        (A9, [64, 128, 256, 512, 1024]),
        (A10, [64, 128, 256, 512]),
        (E1, [32, 64, 128, 256, 512]),
    ],
    ids=["A3", "A4", "A5", "A8", "A9", "A10", "E1"],
)
def test_each_level_has_the_filters_of_the_report_at_half_the_size_of_the_one_above(
    model: Levelled, filters: list[int]
) -> None:
    network = built(model)
    assert shapes_seen(encoder_of(network), network) == [
        (width, 64 >> level) for level, width in enumerate(filters)
    ]
    assert model.level_filters == filters


@pytest.mark.parametrize("model", [A3, A4, A5, E1], ids=["A3", "A4", "A5", "E1"])
def test_the_way_up_mirrors_the_way_down(model: Levelled) -> None:
    network = built(model)
    assert isinstance(network, ComposableUNet)
    down, up = (
        shapes_seen(list(parts), network) for parts in (network.path.down, network.path.join)
    )
    assert up == down[::-1]


@pytest.mark.parametrize("model", [A9, A10], ids=["A9", "A10"])
def test_every_node_has_the_filters_and_the_size_of_its_level(model: Levelled) -> None:
    network = built(model)
    assert isinstance(network, NestedUNetwork)
    for nodes in network.nodes:
        assert isinstance(nodes, nn.ModuleList)
        assert shapes_seen(list(nodes), network) == [
            (64 << level, 64 >> level) for level in range(len(nodes))
        ]
    assert [len(list(nodes.children())) for nodes in network.nodes] == list(
        range(len(model.level_filters) - 1, 0, -1)
    )


def test_level_filters_round_and_leave_out_what_is_not_there() -> None:
    # 12.5 and 15.625
    assert UNet(depth=2, base_filters=10, growth=1.25).level_filters == [10, 12, 16]
    assert ConvStack(depth=3, base_filters=64).level_filters == [64, 128, 256]
    assert ConvStack(depth=0).level_filters == []


def conv(inputs: int, outputs: int) -> int:
    """3 x 3 without bias, and the norm's factors and offsets."""
    return 3 * 3 * inputs * outputs + 2 * outputs


def test_parameters_of_a3_by_hand() -> None:
    """Levels 32 and 64, bottleneck 128; after the plain upsampling a 3 x 3 convolution
    with bias.
    """
    down = conv(1, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64)
    bottleneck = conv(64, 128) + conv(128, 128)
    up = (
        (9 * 128 * 64 + 64)
        + conv(64 + 64, 64)
        + conv(64, 64)
        + (9 * 64 * 32 + 32)
        + conv(32 + 32, 32)
        + conv(32, 32)
    )
    head = 32 * 5 + 5
    assert count_parameters(built(A3)) == down + bottleneck + up + head == 517_925


def test_parameters_of_a4_by_hand() -> None:
    """Levels 32, 64 and 128, bottleneck 256; 2 x 2 transposed convolutions with bias."""
    down = conv(1, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64) + conv(64, 128) + conv(128, 128)
    bottleneck = conv(128, 256) + conv(256, 256)
    up = (4 * 256 * 128 + 128) + conv(256, 128) + conv(128, 128)
    up += (4 * 128 * 64 + 64) + conv(128, 64) + conv(64, 64)
    up += (4 * 64 * 32 + 32) + conv(64, 32) + conv(32, 32)
    head = 32 * 5 + 5
    assert count_parameters(built(A4)) == down + bottleneck + up + head == 1_926_565


def test_parameters_of_e1_by_hand() -> None:
    """As A4, with a level of 256 more and a bottleneck of 512."""
    more_down = conv(128, 256) + conv(256, 256)
    bottleneck = (conv(256, 512) + conv(512, 512)) - (conv(128, 256) + conv(256, 256))
    more_up = (4 * 512 * 256 + 256) + conv(512, 256) + conv(256, 256)
    assert count_parameters(built(E1)) == 1_926_565 + more_down + bottleneck + more_up == 7_762_597


def test_parameters_of_a1_and_a2_by_hand() -> None:
    assert count_parameters(built(shipped("A1"))) == 1 * 5 + 5
    three = (9 * 1 * 64 + 64) + (9 * 64 * 128 + 128) + (9 * 128 * 256 + 256)
    assert count_parameters(built(shipped("A2"))) == three + 256 * 5 + 5
