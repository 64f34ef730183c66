"""Transformers: what they attend to, against their formulas."""

import math

import pytest
import torch
from torch.nn import functional

from objectives.networks.transformer import (
    Transformer,
    TransformerLayer,
    averaged,
    feature_map,
    fitting_heads,
    tokens,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("heads", "channels", "fitting"), [(4, 32, 4), (8, 12, 6), (4, 7, 1), (2, 9, 1), (1, 5, 1)]
)
def test_heads_shrink_to_the_largest_number_that_divides_the_channels(
    heads: int, channels: int, fitting: int
) -> None:
    assert fitting_heads(heads, channels) == fitting


@pytest.mark.parametrize("scales", [(1,), (1, 2, 4)])
def test_a_layer_equals_the_formula(scales: tuple[int, ...]) -> None:
    """softmax(Q K^T / sqrt(d)) V for each head by itself, over the positions of all scales."""
    layer = TransformerLayer(6, 2, scales, 0.0).eval()
    x_BNC, size = torch.randn(2, 15, 6), (3, 5)
    normed_BNC = layer.attention_norm(x_BNC)
    seen_BMC = torch.cat([averaged(normed_BNC, size, scale) for scale in scales], dim=1)
    assert seen_BMC.shape[1] == sum(math.ceil(3 / scale) * math.ceil(5 / scale) for scale in scales)
    heads = []
    for part in (slice(0, 3), slice(3, 6)):
        query, key, value = (
            layer.query(normed_BNC)[..., part],
            layer.key(seen_BMC)[..., part],
            layer.value(seen_BMC)[..., part],
        )
        heads.append(torch.softmax(query @ key.transpose(1, 2) / math.sqrt(3), dim=-1) @ value)
    attended_BNC = x_BNC + layer.merge(torch.cat(heads, dim=-1))
    torch.testing.assert_close(
        layer(x_BNC, size), attended_BNC + layer.mlp(layer.mlp_norm(attended_BNC))
    )


def test_averaging_repeats_the_edge_of_maps_that_the_scale_does_not_divide() -> None:
    map_BCHW = torch.tensor([[[[1.0, 3.0, 10.0]]]])
    assert averaged(tokens(map_BCHW), (1, 3), 2).flatten().tolist() == [2.0, 10.0]


def test_tokens_go_row_by_row_and_back() -> None:
    map_BCHW = torch.randn(2, 3, 4, 5)
    assert torch.equal(tokens(map_BCHW)[:, 5 + 2], map_BCHW[..., 1, 2])
    assert torch.equal(feature_map(tokens(map_BCHW), (4, 5)), map_BCHW)


def test_every_position_sees_every_other_and_knows_where_it_is() -> None:
    transformer = Transformer(8, heads=2).eval()
    map_BCHW = torch.randn(1, 8, 6, 6, requires_grad=True)
    transformer(map_BCHW)[0, :, 0, 0].square().sum().backward()
    assert map_BCHW.grad is not None
    assert (map_BCHW.grad.abs().sum(1) > 0).all()
    even = transformer(torch.ones(1, 8, 6, 6))
    # the zero padding tells the corner from the middle
    assert not torch.allclose(even[..., 0, 0], even[..., 3, 3])


def test_dropout_leaves_the_shape_and_stops_in_evaluation() -> None:
    transformer = Transformer(8, heads=2, dropout=0.5)
    map_BCHW = torch.randn(2, 8, 3, 3)
    assert not torch.equal(transformer(map_BCHW), transformer(map_BCHW))
    transformer.eval()
    assert torch.equal(transformer(map_BCHW), transformer(map_BCHW))
    assert functional.mse_loss(transformer(map_BCHW), map_BCHW) > 0
