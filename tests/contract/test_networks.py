"""One contract for every network: a new family only adds entries to MODELS."""

from pathlib import Path
from typing import get_args

import pytest

from objectives.config import (
    BackgroundUNet,
    ConvStack,
    DeepLab,
    DoubleUNet,
    EncoderUNet,
    Levelled,
    Model,
    NestedUNet,
    Startable,
    UNet,
)
from tests.support import network_checks as checks

MODELS: dict[str, Model] = {
    "unet": UNet(depth=2, base_filters=8),
    "unet-deep-nearest-channel-attention": UNet(
        depth=4, base_filters=8, growth=1.5, kernel_size=5, up="nearest", skip="channel_attention"
    ),
    "unet-residual-attention": UNet(
        depth=2,
        base_filters=8,
        block="residual",
        skip="attention",
        bottleneck="residual",
        dropout=0.1,
    ),
    "unet-group-bilinear-gated": UNet(
        depth=2,
        base_filters=8,
        up="bilinear",
        skip="gated",
        bottleneck="dilated_squeeze_excitation",
        norm="group",
    ),
    "unet-supervised-spatial-channel-attention": UNet(
        depth=3,
        base_filters=8,
        growth=1.0,
        block="residual",
        skip="spatial_channel_attention",
        bottleneck="squeeze_excitation",
        deep_supervision=True,
    ),
    "unet-dilated-wide-kernel": UNet(depth=2, base_filters=8, kernel_size=7, bottleneck="dilated"),
    "unet-dilated-sequence": UNet(
        depth=2, base_filters=8, bottleneck="dilated_sequence_squeeze_excitation", dropout=0.1
    ),
    "nested": NestedUNet(depth=2, base_filters=8),
    "nested-residual-group-transformer-gated": NestedUNet(
        depth=2,
        base_filters=8,
        block="residual",
        fusion="gated",
        bottleneck="transformer",
        heads=2,
        up="transpose",
        norm="group",
        deep_supervision=False,
    ),
    "double": DoubleUNet(depth=2, base_filters=8, layers=2),
    "deeplab": DeepLab(depth=2, base_filters=8, rate=3),
    "conv-stack": ConvStack(depth=2, base_filters=8),
    "conv-stack-head-only": ConvStack(depth=0),
    "background": BackgroundUNet(depth=2, base_filters=8, mask_filters=4),
    "encoder-unet": EncoderUNet(depth=2, base_filters=8, encoder="tu-test_efficientnet"),
    "encoder-unet-patches-attention-supervised": EncoderUNet(
        depth=3,
        base_filters=8,
        encoder="tu-test_convnext",
        block="residual",
        skip="attention",
        bottleneck="dilated_sequence_squeeze_excitation",
        dropout=0.1,
        deep_supervision=True,
    ),
}
LEARNING_RATES = {"conv-stack-head-only": 0.1}  # ten weights have a long way to go
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def options(model: type[Model] | Model) -> set[tuple[str, object]]:
    """The named options of a model's fields: all of a class, the chosen ones of a value."""
    kind = model if isinstance(model, type) else type(model)
    named = {name: get_args(field.annotation) for name, field in kind.model_fields.items()}
    if isinstance(model, type):
        return {
            (name, option)
            for name, all_options in named.items()
            for option in all_options
            if isinstance(option, str)
        }
    return {
        (name, getattr(model, name))
        for name, all_options in named.items()
        if getattr(model, name) in all_options
    }


def test_every_family_and_every_named_option_is_under_contract() -> None:
    families = set().union(*(options(family) for family in Levelled.__subclasses__()))
    every = families - options(Startable)  # what a network starts from does not change it
    assert every - set().union(*(options(model) for model in MODELS.values())) == set()


@every_model
@pytest.mark.parametrize(
    ("channels", "classes", "height", "width"), [(1, 5, 64, 128), (3, 2, 37, 50), (4, 7, 5, 9)]
)
def test_logits_have_the_size_of_the_images(
    model: Model, channels: int, classes: int, height: int, width: int
) -> None:
    checks.check_size(model, channels=channels, classes=classes, height=height, width=width)


@pytest.mark.parametrize(
    "name", [name for name, model in MODELS.items() if not isinstance(model, ConvStack)]
)
def test_the_padding_does_not_touch_frames_that_fit(name: str) -> None:
    checks.check_padding(MODELS[name], height=32, width=48)


@every_model
def test_a_gradient_reaches_every_parameter(model: Model) -> None:
    checks.check_gradients(model)


@every_model
def test_all_outputs_are_those_of_forward_and_of_the_auxiliary_heads(model: Model) -> None:
    checks.check_all_outputs(model)


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_it_overfits_eight_frames(name: str) -> None:
    checks.check_overfits(MODELS[name], height=16, width=32, rate=LEARNING_RATES.get(name, 1e-2))


@pytest.mark.long
@every_model
def test_onnx_runtime_agrees(model: Model, tmp_path: Path) -> None:
    checks.check_onnx(model, tmp_path)


@every_model
def test_safetensors_round_trip(model: Model, tmp_path: Path) -> None:
    checks.check_safetensors(model, tmp_path)


@every_model
def test_it_runs_in_bf16_autocast(model: Model) -> None:
    checks.check_bf16(model)


@every_model
def test_the_same_seed_gives_the_same_network(model: Model) -> None:
    checks.check_seed(model)
