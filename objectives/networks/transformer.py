"""Transformers over the positions of a feature map, for maps of any size."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.networks.padding import pad_to_multiple

MLP_RATIO = 4
ONE_SCALE = (1,)
THREE_SCALES = (1, 2, 4)


def fitting_heads(heads: int, channels: int) -> int:
    """Return the largest number of heads, at most ``heads``, that divides ``channels``."""
    return max(n for n in range(1, heads + 1) if channels % n == 0)


@final
class Transformer(nn.Module):
    """Pre-norm layers of self-attention over a map's positions; keeps the shape.

    Positions enter through the zero padding of a depthwise 3 x 3 convolution, added to its input:
    it needs no table, so any height and width will do. The number of heads shrinks to one that
    divides the channels.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 1; Dosovitskiy et al. 2021
    (arXiv:2010.11929), equations 2 to 4; positions of Chu et al. 2021 (arXiv:2102.10882). With
    several scales (the reading of report A's "multi-scale transformer"), keys and values are also
    those of the map averaged over 2 x 2 and 4 x 4 positions, as in the pooling-based attention of
    Wu et al. 2021 (arXiv:2106.12011).
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        layers: int = 1,
        scales: Sequence[int] = ONE_SCALE,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.layers = nn.ModuleList(
            TransformerLayer(channels, heads, scales, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        size = x_BCHW.shape[-2:]
        x_BNC = tokens(x_BCHW + self.position(x_BCHW))
        for layer in self.layers:
            x_BNC = layer(x_BNC, size)
        return feature_map(self.norm(x_BNC), size)


@final
class TransformerLayer(nn.Module):
    """z' = z + attention(norm(z)), z'' = z' + MLP(norm(z')); each term with dropout.

    Queries, keys and values have no bias: that of the keys cancels in the softmax.
    """

    def __init__(self, channels: int, heads: int, scales: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.heads = fitting_heads(heads, channels)
        self.scales = tuple(scales)
        self.attention_norm = nn.LayerNorm(channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.merge = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, MLP_RATIO * channels),
            nn.GELU(),
            nn.Linear(MLP_RATIO * channels, channels),
        )
        self.dropout = nn.Dropout(dropout)
        init_xavier(self)

    def forward(self, x_BNC: Tensor, size: Sequence[int]) -> Tensor:
        """Return (B, N, C) for the N = H * W positions of a map of ``size`` (H, W)."""
        x_BNC = x_BNC + self.dropout(self._attend(self.attention_norm(x_BNC), size))
        out_BNC: Tensor = x_BNC + self.dropout(self.mlp(self.mlp_norm(x_BNC)))
        return out_BNC

    def _attend(self, x_BNC: Tensor, size: Sequence[int]) -> Tensor:
        seen_BMC = torch.cat([averaged(x_BNC, size, scale) for scale in self.scales], dim=1)
        query, key, value = (
            x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for x in (self.query(x_BNC), self.key(seen_BMC), self.value(seen_BMC))
        )
        joined_BNC: Tensor = (
            functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        )
        merged_BNC: Tensor = self.merge(joined_BNC)
        return merged_BNC


def tokens(x_BCHW: Tensor) -> Tensor:
    """Return the map's positions, row by row, as (B, H * W, C)."""
    return x_BCHW.flatten(2).transpose(1, 2)


def feature_map(x_BNC: Tensor, size: Sequence[int]) -> Tensor:
    """Return tokens as a map (B, C, H, W) of ``size`` (H, W)."""
    height, width = size
    return x_BNC.transpose(1, 2).reshape(-1, x_BNC.shape[2], height, width)


def averaged(x_BNC: Tensor, size: Sequence[int], scale: int) -> Tensor:
    """Return the tokens of the map averaged over squares of ``scale`` positions; those at its edge
    repeat the edge.
    """
    if scale == 1:
        return x_BNC
    return tokens(functional.avg_pool2d(pad_to_multiple(feature_map(x_BNC, size), scale), scale))


def init_xavier(layer: nn.Module) -> None:
    """Set linear weights by Glorot and Bengio 2010 (equation 16), biases to 0, as Dosovitskiy et
    al. 2021 do.
    """
    for module in layer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
