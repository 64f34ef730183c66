"""Gates against their papers' equations, written out in plain arithmetic."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.networks.context import SqueezeExcitation
from objectives.networks.gates import (
    AttentionGate,
    ChannelAttentionGate,
    SigmoidGate,
    SpatialChannelAttentionGate,
)
from objectives.networks.nested_unet import FusionGate

Gate = TypeVar("Gate", bound=nn.Module)
CHANNELS = 6


def random(kind: Callable[..., Gate], *arguments: int) -> Gate:
    """A gate whose every weight and bias is drawn: its hidden units are on for some inputs and off
    for others.
    """
    gate = kind(*arguments)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.normal_(std=0.6, generator=generator)
    return gate


def maps(count: int) -> tuple[Tensor, ...]:
    return torch.randn(
        count, 2, CHANNELS, 5, 7, generator=torch.Generator().manual_seed(3)
    ).unbind()


def pointwise(layer: nn.Conv2d, x_BCHW: Tensor) -> Tensor:
    """W x + b in every pixel."""
    assert layer.kernel_size == (1, 1)
    outputs = torch.einsum("oc,bchw->bohw", layer.weight[:, :, 0, 0], x_BCHW)
    return outputs if layer.bias is None else outputs + layer.bias[None, :, None, None]


def layers_of(gate: nn.Module) -> list[nn.Conv2d]:
    """The convolutions of a gate in the order of its formula."""
    return [module for module in gate.modules() if isinstance(module, nn.Conv2d)]


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def by_channel(gate: nn.Module, skip_BCHW: Tensor, gating_BCHW: Tensor) -> Tensor:
    """sigmoid(M(mean) + M(max)) of the channels of skip and gating signal, M = W_2 ReLU(W_1 y +
    b_1) + b_2.
    """
    both = torch.cat([skip_BCHW, gating_BCHW], dim=1)
    squeeze, excite = layers_of(gate)
    of_statistics = [
        pointwise(excite, pointwise(squeeze, statistic[:, :, None, None]).clamp(min=0))
        for statistic in (both.flatten(2).sum(2) / (5 * 7), both.flatten(2).max(2).values)
    ]
    return sigmoid(of_statistics[0] + of_statistics[1])


def test_the_attention_gate_is_the_additive_one_of_oktay() -> None:
    """alpha = sigmoid(psi(ReLU(W_x x + W_g g + b_g)) + b_psi)."""
    gate, (skip_BCHW, gating_BCHW) = random(AttentionGate, CHANNELS), maps(2)
    hidden = pointwise(gate.from_skip, skip_BCHW) + pointwise(gate.from_gating, gating_BCHW)
    assert ((hidden > 0).any(), (hidden < 0).any()) == (True, True)
    alpha_B1HW = sigmoid(pointwise(gate.psi, hidden.clamp(min=0)))
    torch.testing.assert_close(gate(skip_BCHW, gating_BCHW), skip_BCHW * alpha_B1HW)


def test_the_sigmoid_gate_is_one_linear_map_of_both() -> None:
    """s = sigmoid(W_x x + W_g g + b)."""
    gate, (skip_BCHW, gating_BCHW) = random(SigmoidGate, CHANNELS), maps(2)
    weights_BCHW = sigmoid(pointwise(gate.gate, torch.cat([skip_BCHW, gating_BCHW], dim=1)))
    torch.testing.assert_close(gate(skip_BCHW, gating_BCHW), skip_BCHW * weights_BCHW)


def test_the_channel_gate_adds_what_means_and_maxima_say() -> None:
    gate, (skip_BCHW, gating_BCHW) = random(ChannelAttentionGate, CHANNELS), maps(2)
    expected = skip_BCHW * by_channel(gate, skip_BCHW, gating_BCHW)
    torch.testing.assert_close(gate(skip_BCHW, gating_BCHW), expected)


def test_the_spatial_gate_convolves_means_and_maxima_of_skip_and_gating_signal() -> None:
    """s = sigmoid(conv_7x7([mean x; max x; mean g; max g])), beside the channel gate on the same
    skip.
    """
    gate, (skip_BCHW, gating_BCHW) = random(SpatialChannelAttentionGate, CHANNELS), maps(2)
    statistics = torch.stack(
        [each for x in (skip_BCHW, gating_BCHW) for each in (x.sum(1) / CHANNELS, x.max(1).values)],
        dim=1,
    )
    windows = functional.pad(statistics, (3, 3, 3, 3)).unfold(2, 7, 1).unfold(3, 7, 1)
    by_pixel = sigmoid(
        torch.einsum("ocij,bchwij->bohw", gate.by_pixel.weight, windows)
        + gate.by_pixel.bias[:, None, None]
    )
    expected = skip_BCHW * by_pixel * by_channel(gate.by_channel, skip_BCHW, gating_BCHW)
    torch.testing.assert_close(gate(skip_BCHW, gating_BCHW), expected)


def test_squeeze_and_excitation_is_that_of_hu() -> None:
    """s = sigmoid(W_2 ReLU(W_1 mean(x)))."""
    gate, (x_BCHW,) = random(SqueezeExcitation, CHANNELS), maps(1)
    hidden = pointwise(gate.squeeze, (x_BCHW.flatten(2).sum(2) / (5 * 7))[:, :, None, None])
    assert ((hidden > 0).any(), (hidden < 0).any()) == (True, True)
    torch.testing.assert_close(
        gate(x_BCHW), x_BCHW * sigmoid(pointwise(gate.excite, hidden.clamp(min=0)))
    )


@pytest.mark.parametrize("count", [2, 3])
def test_the_fusion_gate_weighs_each_map_by_all_of_them(count: int) -> None:
    """[a_1, ..., a_n] = sigmoid(W [x_1, ..., x_n] + b)."""
    gate, joined = random(FusionGate, count, CHANNELS), maps(count)
    weights_BNHW = sigmoid(pointwise(gate.weigh, torch.cat(joined, dim=1)))
    expected = [x * weights_BNHW[:, i : i + 1] for i, x in enumerate(joined)]
    torch.testing.assert_close(gate(list(joined)), torch.cat(expected, dim=1))
