"""Every field of every network's config, and every named option of it, is at work in the
network.
"""

from typing import Any, get_args

import pytest
import torch
from torch import nn

from objectives.config import (
    BackgroundUNet,
    ConvStack,
    DeepLab,
    DoubleUNet,
    EncoderUNet,
    Levelled,
    NestedUNet,
    Startable,
    UNet,
)
from objectives.networks import build_network

SIZE: dict[str, list[Any]] = {"depth": [3], "base_filters": [9], "growth": [1.5]}
BASES: dict[type[Levelled], Levelled] = {
    UNet: UNet(depth=2, base_filters=8),
    NestedUNet: NestedUNet(depth=2, base_filters=8, bottleneck="transformer"),
    DoubleUNet: DoubleUNet(depth=2, base_filters=8),
    DeepLab: DeepLab(depth=2, base_filters=8, rate=2),
    ConvStack: ConvStack(depth=2, base_filters=8),
    BackgroundUNet: BackgroundUNet(depth=2, base_filters=8, mask_filters=4),
    EncoderUNet: EncoderUNet(depth=2, base_filters=8, encoder="tu-test_efficientnet"),
}
NUMBERS: dict[type[Levelled], dict[str, list[Any]]] = {
    UNet: {**SIZE, "deep_supervision": [True]},
    NestedUNet: {**SIZE, "deep_supervision": [False]},
    DoubleUNet: {**SIZE, "layers": [2]},
    DeepLab: {**SIZE, "rate": [3]},
    ConvStack: SIZE,
    BackgroundUNet: {**SIZE, "mask_filters": [5]},
    EncoderUNet: {**SIZE, "encoder": ["tu-test_resnet"], "deep_supervision": [True]},
}
# what it starts from, and how its frames are normalised, is not the network's own
OF_A_START = set(Startable.model_fields)
# a layer of dropout for each block of the bases above, and for what stands beside them
DROPOUTS: dict[type[Levelled], int] = {
    UNet: 2 + 1 + 2,
    NestedUNet: 3 + 3 + 1,  # nodes (i, 0), the others, the transformer
    DoubleUNet: 2 * (2 + 1 + 2) + 1,  # both paths, the transformer
    DeepLab: 3 + 1,  # before the head
    BackgroundUNet: 2 * (2 + 1 + 2),
    EncoderUNet: 1 + 1 + 2,  # of the way down its one block at full size
}


def changes_of(base: Levelled) -> dict[str, list[Any]]:
    """For each field but dropout the values to try: those above, and every named option but the
    base's own.
    """
    named = {
        name: get_args(field.annotation)
        for name, field in type(base).model_fields.items()
        if name not in {"kind", *OF_A_START}
    }
    others = {
        name: [option for option in every if option != getattr(base, name)]
        for name, every in named.items()
        if every
    }
    return {**others, **NUMBERS[type(base)]}


CHANGES = [
    pytest.param(base, name, value, id=f"{base.kind}-{name}-{value}")
    for base in BASES.values()
    for name, values in changes_of(base).items()
    for value in values
]


def built(model: Levelled) -> nn.Module:
    torch.manual_seed(0)
    return build_network(model, in_channels=1, num_classes=5)


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def test_every_field_of_every_family_is_changed() -> None:
    assert set(BASES) == set(Levelled.__subclasses__())
    assert {kind: set(changes_of(base)) for kind, base in BASES.items()} == {
        kind: set(kind.model_fields) - {"kind", "dropout", *OF_A_START} for kind in BASES
    }
    assert set(DROPOUTS) == {kind for kind in BASES if "dropout" in kind.model_fields}


@pytest.mark.parametrize(("base", "field", "value"), CHANGES)
def test_changing_a_field_changes_the_network(base: Levelled, field: str, value: object) -> None:
    before, after = (
        built(base),
        built(type(base).model_validate({**base.model_dump(), field: value})),
    )
    images_BCHW = torch.randn(2, 1, 24, 32, generator=torch.Generator().manual_seed(0))
    assert shapes(before) != shapes(after) or not torch.allclose(
        before(images_BCHW), after(images_BCHW)
    )


@pytest.mark.parametrize("kind", DROPOUTS, ids=lambda kind: kind.__name__)
def test_dropout_is_at_work_in_every_block_and_transformer(kind: type[Levelled]) -> None:
    images_BCHW = torch.randn(2, 1, 24, 32, generator=torch.Generator().manual_seed(0))
    for dropout, layers in ((0.0, 0), (0.3, DROPOUTS[kind])):
        network = built(BASES[kind].model_copy(update={"dropout": dropout})).train()
        found = [
            module.p
            for module in network.modules()
            if isinstance(module, nn.Dropout | nn.Dropout2d) and module.p > 0
        ]
        assert found == [dropout] * layers
        assert torch.equal(network(images_BCHW), network(images_BCHW)) == (dropout == 0.0)
