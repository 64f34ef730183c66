"""One contract for every network: a new family only adds entries to MODELS."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Model, UNet
from objectives.networks import build_network

MODELS: dict[str, Model] = {
    "unet-plain": UNet(depth=2, base_filters=8),
    "unet-deep": UNet(depth=4, base_filters=8, growth=1.5, kernel_size=5),
    "unet-residual-attention": UNet(depth=2, base_filters=8, block="residual", skip="attention", dropout=0.1),
    "unet-dilated-group-bilinear": UNet(depth=2, base_filters=8, up="bilinear", bottleneck="dilated", norm="group"),
    "unet-squeeze-excitation": UNet(depth=2, base_filters=8, growth=1.0, block="residual", bottleneck="squeeze_excitation"),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def network_of(model: Model, *, in_channels: int = 1, num_classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return build_network(model, in_channels=in_channels, num_classes=num_classes)


def pattern(frames: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Noisy frames whose label follows the grey value, with an own left half in each frame."""
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 4, (frames, 1, height // 4, width // 4), generator=generator)
    mask_BHW = functional.interpolate(blocks.float(), scale_factor=4, mode="nearest").squeeze(1).long()
    noise = torch.randn(frames, 1, height, width, generator=generator)
    return mask_BHW[:, None].float() - 1.5 + 0.2 * noise, mask_BHW


@every_model
@pytest.mark.parametrize(("channels", "classes", "height", "width"), [(1, 5, 64, 128), (3, 2, 37, 50), (4, 7, 5, 9)])
def test_logits_have_the_size_of_the_images(model: Model, channels: int, classes: int, height: int, width: int) -> None:
    network = network_of(model, in_channels=channels, num_classes=classes).train()
    images_BCHW = torch.randn(2, channels, height, width).to(memory_format=torch.channels_last)
    logits_BKHW = network(images_BCHW)
    assert logits_BKHW.shape == (2, classes, height, width)
    assert logits_BKHW.isfinite().all()


@every_model
def test_the_padding_does_not_touch_frames_that_fit(model: Model) -> None:
    """The crop keeps the top left: a frame with its edge repeated by hand gives the same logits there."""
    network = network_of(model).eval()
    images_BCHW = torch.randn(1, 1, 30, 45)
    by_hand = functional.pad(images_BCHW, (0, 3, 0, 2), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(network(images_BCHW), network(by_hand)[..., :30, :45])


@every_model
def test_a_gradient_reaches_every_parameter(model: Model) -> None:
    network = network_of(model).train()
    images_BCHW, mask_BHW = pattern(4, 32, 64)
    functional.cross_entropy(network(images_BCHW), mask_BHW).backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


@every_model
def test_it_overfits_eight_frames(model: Model) -> None:
    network = network_of(model).train().to(memory_format=torch.channels_last)
    images_BCHW, mask_BHW = pattern(8, 16, 32)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
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
    network = network_of(model).eval()
    images_BCHW = torch.randn(2, 1, 30, 50)
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (images_BCHW,), path, dynamo=True, verbose=False)
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
        logits_BKHW = network(images_BCHW)
    assert logits_BKHW.dtype == torch.bfloat16
    functional.cross_entropy(logits_BKHW.float(), mask_BHW).backward()
    assert logits_BKHW.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every_model
def test_the_same_seed_gives_the_same_network(model: Model) -> None:
    one, other = network_of(model).state_dict(), network_of(model).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
