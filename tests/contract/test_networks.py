"""One contract for every network: a new family only adds entries to MODELS."""

from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import BackgroundUNet, ConvStack, DeepLab, DoubleUNet, Model, NestedUNet, UNet
from objectives.networks import OwnModel, all_outputs, build_network

MODELS: dict[str, Model] = {
    "unet": UNet(depth=2, base_filters=8),
    "unet-deep-nearest-channel-attention": UNet(
        depth=4, base_filters=8, growth=1.5, kernel_size=5, up="nearest", skip="channel_attention"
    ),
    "unet-residual-attention": UNet(
        depth=2, base_filters=8, block="residual", skip="attention", bottleneck="residual", dropout=0.1
    ),
    "unet-group-bilinear-gated": UNet(
        depth=2, base_filters=8, up="bilinear", skip="gated", bottleneck="dilated_squeeze_excitation", norm="group"
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
}
LEARNING_RATES = {"conv-stack-head-only": 0.1}  # ten weights have a long way to go
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def network_of(model: Model, *, in_channels: int = 1, num_classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return build_network(model, in_channels=in_channels, num_classes=num_classes)


def loss_of(outputs: tuple[Tensor, ...], mask_BHW: Tensor) -> Tensor:
    """The mean over all outputs, as deep supervision has it."""
    return torch.stack([functional.cross_entropy(logits_BKHW.float(), mask_BHW) for logits_BKHW in outputs]).mean()


def pattern(frames: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Noisy frames whose label follows the grey value, with an own left half in each frame."""
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 4, (frames, 1, height // 4, width // 4), generator=generator)
    mask_BHW = functional.interpolate(blocks.float(), scale_factor=4, mode="nearest").squeeze(1).long()
    noise = torch.randn(frames, 1, height, width, generator=generator)
    return mask_BHW[:, None].float() - 1.5 + 0.2 * noise, mask_BHW


def options(model: type[Model] | Model) -> set[tuple[str, object]]:
    """The named options of a model's fields: all of a class, the chosen ones of a value."""
    kind = model if isinstance(model, type) else type(model)
    named = {name: get_args(field.annotation) for name, field in kind.model_fields.items()}
    if isinstance(model, type):
        return {(name, option) for name, all_options in named.items() for option in all_options if isinstance(option, str)}
    return {(name, getattr(model, name)) for name, all_options in named.items() if getattr(model, name) in all_options}


def test_every_family_and_every_named_option_is_under_contract() -> None:
    every = set().union(*(options(family) for family in get_args(OwnModel)))
    assert every - set().union(*(options(model) for model in MODELS.values())) == set()


@every_model
@pytest.mark.parametrize(("channels", "classes", "height", "width"), [(1, 5, 64, 128), (3, 2, 37, 50), (4, 7, 5, 9)])
def test_logits_have_the_size_of_the_images(model: Model, channels: int, classes: int, height: int, width: int) -> None:
    network = network_of(model, in_channels=channels, num_classes=classes).train()
    images_BCHW = torch.randn(2, channels, height, width).to(memory_format=torch.channels_last)
    logits_BKHW = network(images_BCHW)
    assert logits_BKHW.shape == (2, classes, height, width)
    assert logits_BKHW.isfinite().all()


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not isinstance(model, ConvStack)])
def test_the_padding_does_not_touch_frames_that_fit(name: str) -> None:
    """The crop keeps the top left: a frame with its edge repeated by hand gives the same logits there."""
    network = network_of(MODELS[name]).eval()
    images_BCHW = torch.randn(1, 1, 30, 45)
    by_hand = functional.pad(images_BCHW, (0, 3, 0, 2), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(network(images_BCHW), network(by_hand)[..., :30, :45])


@every_model
def test_a_gradient_reaches_every_parameter(model: Model) -> None:
    network = network_of(model).train()
    images_BCHW, mask_BHW = pattern(4, 32, 64)
    loss_of(all_outputs(network, images_BCHW), mask_BHW).backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


@every_model
def test_all_outputs_are_those_of_forward_and_of_the_auxiliary_heads(model: Model) -> None:
    network = network_of(model).eval()
    images_BCHW = torch.randn(2, 1, 19, 26)
    with torch.inference_mode():
        first, *others = all_outputs(network, images_BCHW)
        torch.testing.assert_close(first, network(images_BCHW))
    assert bool(others) == getattr(model, "deep_supervision", False)
    assert all(logits.shape == first.shape == (2, 5, 19, 26) for logits in others)
    assert not any(torch.allclose(logits, first) for logits in others)


@pytest.mark.parametrize("name", MODELS)
def test_it_overfits_eight_frames(name: str) -> None:
    network = network_of(MODELS[name]).train().to(memory_format=torch.channels_last)
    images_BCHW, mask_BHW = pattern(8, 16, 32)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATES.get(name, 1e-2))
    right = 0.0
    for _ in range(150):
        optimiser.zero_grad()
        logits_BKHW = network(images_BCHW)
        functional.cross_entropy(logits_BKHW, mask_BHW).backward()
        optimiser.step()
        right = (logits_BKHW.argmax(1) == mask_BHW).float().mean().item()
        if right > 0.97:
            break
    assert right > 0.97


@every_model
def test_onnx_runtime_agrees(model: Model, tmp_path: Path) -> None:
    network = network_of(model).train()
    images_BCHW = torch.randn(2, 1, 30, 50)
    with torch.inference_mode():
        for _ in range(20):  # running statistics as after training; without them logits of 100 and more round too coarsely
            network(images_BCHW)
    network.eval()
    path = tmp_path / "network.onnx"
    shapes = ({0: torch.export.Dim("frames", min=1)},)
    torch.onnx.export(network, (images_BCHW,), path, dynamic_shapes=shapes, dynamo=True, verbose=False)
    images_BCHW = torch.randn(3, 1, 30, 50)  # the number of frames is free
    with torch.inference_mode():
        expected = network(images_BCHW).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {session.get_inputs()[0].name: images_BCHW.numpy()})
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    np.testing.assert_array_equal(actual.argmax(1), expected.argmax(1))


@every_model
def test_safetensors_round_trip(model: Model, tmp_path: Path) -> None:
    network = network_of(model).to(memory_format=torch.channels_last)
    network.train()(torch.randn(4, 1, 16, 16))  # moves the running statistics away from their start
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "weights.safetensors")
    torch.manual_seed(1)
    again = build_network(model, in_channels=1, num_classes=5).to(memory_format=torch.channels_last)
    images_BCHW = torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        expected = network.eval()(images_BCHW)
        assert not torch.equal(again.eval()(images_BCHW), expected)
        again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        torch.testing.assert_close(again(images_BCHW), expected)


@every_model
def test_it_runs_in_bf16_autocast(model: Model) -> None:
    network = network_of(model).train().to(memory_format=torch.channels_last)
    images_BCHW, mask_BHW = pattern(4, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = all_outputs(network, images_BCHW)
    assert all(logits_BKHW.dtype == torch.bfloat16 and logits_BKHW.isfinite().all() for logits_BKHW in outputs)
    loss_of(outputs, mask_BHW).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every_model
def test_the_same_seed_gives_the_same_network(model: Model) -> None:
    one, other = network_of(model).state_dict(), network_of(model).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
