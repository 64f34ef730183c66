"""U-Net++: between encoder and decoder, every skip is a chain of nodes that all see each other."""

from itertools import pairwise
from typing import assert_never, final

import torch
from torch import Tensor, nn

from objectives.config import NestedUNet
from objectives.networks.blocks import block_of, init_he, up_of
from objectives.networks.padding import pad_to_multiple
from objectives.networks.supervision import DeeplySupervised
from objectives.networks.transformer import THREE_SCALES, Transformer


@final
class NestedUNetwork(DeeplySupervised):
    """Node (i, j) of level i: x_i0 = H(pool(x_(i-1)0)); x_ij = H([x_i0, ..., x_i(j-1),
    U(x_(i+1)(j-1))]) for j > 0.

    H is a block, U a doubling to the level's filters. With deep supervision each node (0, j), j >
    0, has a 1 x 1 head, and the logits are the heads' average (the paper averages probabilities);
    without it, node (0, depth) has the only one. Report A's variant adds adaptive gates to what a
    node joins, and a multi-scale transformer after the deepest block.

    Source: Zhou et al. 2018 (arXiv:1807.10165), equation 1 and section 3.2 (accurate mode); 2020
    (arXiv:1912.05074).
    """

    def __init__(self, model: NestedUNet, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        filters = model.level_filters
        self.multiple = 2**model.depth
        self.deep_supervision = model.deep_supervision
        self.down = nn.ModuleList(
            block_of(model.block, *ends, norm=model.norm, dropout=model.dropout)
            for ends in pairwise([in_channels, *filters])
        )
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = _bottleneck(model, filters[-1])
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                Node(model, filters[i], filters[i + 1], skips=j) for i in range(model.depth + 1 - j)
            )
            for j in range(1, model.depth + 1)
        )
        heads = model.depth if model.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(filters[0], num_classes, 1) for _ in range(heads))
        init_he(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images of any height and width."""
        return self.outputs(images_BCHW)[0]

    def outputs(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of ``forward``; with deep supervision also each head's, from node (0,
        depth) to (0, 1).
        """
        height, width = images_BCHW.shape[-2:]
        nodes = reversed(self._finest_nodes(pad_to_multiple(images_BCHW, self.multiple)))
        logits = [head(x)[..., :height, :width] for head, x in zip(self.heads, nodes, strict=False)]
        return (torch.stack(logits).mean(0), *logits) if self.deep_supervision else tuple(logits)

    def _finest_nodes(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return the features of nodes (0, 1) to (0, depth)."""
        column = self._encoded(x_BCHW)
        rows = [[x] for x in column]
        # each column is one node shorter, so zip leaves out the lowest rows
        for nodes in self.nodes.children():
            column = [
                node(row, below)
                for node, row, below in zip(nodes.children(), rows, column[1:], strict=False)
            ]
            for row, x in zip(rows, column, strict=False):
                row.append(x)
        return rows[0][1:]

    def _encoded(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return the features of nodes (0, 0) to (depth, 0)."""
        first, *others = self.down
        column: list[Tensor] = [first(x_BCHW)]
        for block in others:
            column.append(block(self.pool(column[-1])))
        column[-1] = self.bottleneck(column[-1])
        return column


@final
class Node(nn.Module):
    """One node (i, j): ``skips`` = j maps of its level and one of the level below, joined by a
    block.
    """

    def __init__(self, model: NestedUNet, filters: int, below: int, *, skips: int) -> None:
        super().__init__()
        self.up = up_of(model.up, below, filters)
        self.fusion = _fusion(model, skips + 1, filters)
        self.block = block_of(
            model.block, (skips + 1) * filters, filters, norm=model.norm, dropout=model.dropout
        )

    def forward(self, skips: list[Tensor], below_BCHW: Tensor) -> Tensor:
        """Return the node's features, (B, filters, H, W)."""
        features_BCHW: Tensor = self.block(self.fusion([*skips, self.up(below_BCHW)]))
        return features_BCHW


@final
class Concatenation(nn.Module):
    """All maps one after the other."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return (B, n * C, H, W) of n maps (B, C, H, W)."""
        return torch.cat(maps, dim=1)


@final
class FusionGate(nn.Module):
    """Weighs what a node joins: [a_1, ..., a_n] = sigmoid(W [x_1, ..., x_n] + b), a 1 x 1
    convolution to one map for each x.

    Returns [a_1 x_1, ..., a_n x_n]. Report A names adaptive fusion gates without a formula; this is
    the plainest that adapts to each pixel.
    """

    def __init__(self, maps: int, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(maps * channels, maps, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return (B, n * C, H, W) of n maps (B, C, H, W)."""
        weights_BNHW = torch.sigmoid(self.weigh(torch.cat(maps, dim=1)))
        weights = weights_BNHW[:, :, None].unbind(1)
        return torch.cat([weight * x for weight, x in zip(weights, maps, strict=True)], dim=1)


def _fusion(model: NestedUNet, maps: int, channels: int) -> nn.Module:
    match model.fusion:
        case "concat":
            return Concatenation()
        case "gated":
            return FusionGate(maps, channels)
        case _:
            assert_never(model.fusion)


def _bottleneck(model: NestedUNet, channels: int) -> nn.Module:
    match model.bottleneck:
        case "plain":
            return nn.Identity()
        case "transformer":
            return Transformer(
                channels, heads=model.heads, scales=THREE_SCALES, dropout=model.dropout
            )
        case _:
            assert_never(model.bottleneck)
