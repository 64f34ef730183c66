"""The contract of every network, check by check; a test file calls them with its own models."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Model
from objectives.networks import all_outputs, build_network


def network_of(model: Model, *, in_channels: int = 1, num_classes: int = 5, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(model, in_channels=in_channels, num_classes=num_classes)


def pattern(frames: int, height: int, width: int, *, block: int = 4) -> tuple[Tensor, Tensor]:
    """Noisy frames of square blocks whose label follows the grey value; a coarse network needs large blocks."""
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 4, (frames, 1, height // block, width // block), generator=generator)
    mask_BHW = functional.interpolate(blocks.float(), scale_factor=block, mode="nearest").squeeze(1).long()
    noise = torch.randn(frames, 1, height, width, generator=generator)
    return mask_BHW[:, None].float() - 1.5 + 0.2 * noise, mask_BHW


def loss_of(network: nn.Module, images_BCHW: Tensor, mask_BHW: Tensor) -> Tensor:
    """The mean over all outputs, as deep supervision has it."""
    outputs = all_outputs(network, images_BCHW)
    return torch.stack([functional.cross_entropy(logits_BKHW.float(), mask_BHW) for logits_BKHW in outputs]).mean()


def check_size(model: Model, *, channels: int, classes: int, height: int, width: int) -> None:
    network = network_of(model, in_channels=channels, num_classes=classes).train()
    images_BCHW = torch.randn(2, channels, height, width).to(memory_format=torch.channels_last)
    logits_BKHW = network(images_BCHW)
    assert logits_BKHW.shape == (2, classes, height, width)
    assert logits_BKHW.isfinite().all()


def check_padding(model: Model, *, side: int) -> None:
    """The crop keeps the top left: a frame with its edge repeated by hand gives the same logits there."""
    network = network_of(model).eval()
    images_BCHW = torch.randn(1, 1, side - 2, side - 3)
    by_hand = functional.pad(images_BCHW, (0, 3, 0, 2), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(network(images_BCHW), network(by_hand)[..., : side - 2, : side - 3])


def check_gradients(model: Model) -> None:
    """A unit with one hidden channel may be born dead, so a parameter passes if a gradient reaches it under some seed."""
    dead: set[str] | None = None
    for seed in range(4):
        network = network_of(model, seed=seed).train()
        loss_of(network, *pattern(4, 32, 64)).backward()  # type: ignore[no-untyped-call]
        now = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
        dead = now if dead is None else dead & now
        if not dead:
            return
    raise AssertionError(f"no gradient reaches {sorted(dead or ())}")


def check_overfits(model: Model, *, height: int, width: int, block: int, least: float = 0.97, steps: int = 150) -> None:
    network = network_of(model).to(memory_format=torch.channels_last)
    images_BCHW, mask_BHW = pattern(8, height, width, block=block)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    right = 0.0
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        loss_of(network.train(), images_BCHW, mask_BHW).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 10 == 0:
            with torch.no_grad():  # without dropout, which would hide what has been learnt
                right = (network.eval()(images_BCHW).argmax(1) == mask_BHW).float().mean().item()
            if right > least:
                return
    raise AssertionError(f"only {right:.3f} of the pixels are right after {steps} steps")


def check_onnx(model: Model, folder: Path, *, height: int, width: int) -> None:
    network = network_of(model).eval()
    images_BCHW = torch.randn(2, 1, height, width)
    path = folder / "network.onnx"
    torch.onnx.export(network, (images_BCHW,), path, dynamo=True, verbose=False)
    with torch.inference_mode():
        expected = network(images_BCHW).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {session.get_inputs()[0].name: images_BCHW.numpy()})
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    np.testing.assert_array_equal(actual.argmax(1), expected.argmax(1))


def check_safetensors(model: Model, folder: Path) -> None:
    network = network_of(model).to(memory_format=torch.channels_last)
    network.train()(torch.randn(4, 1, 32, 32))  # moves the running statistics away from their start
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "weights.safetensors")
    again = network_of(model, seed=1).to(memory_format=torch.channels_last)
    images_BCHW = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        expected = network.eval()(images_BCHW)
        assert not torch.equal(again.eval()(images_BCHW), expected)
        again.load_state_dict(load_file(folder / "weights.safetensors"))
        torch.testing.assert_close(again(images_BCHW), expected)


def check_bf16(model: Model) -> None:
    network = network_of(model).train().to(memory_format=torch.channels_last)
    images_BCHW, mask_BHW = pattern(4, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_BKHW = network(images_BCHW)
    assert logits_BKHW.dtype == torch.bfloat16
    functional.cross_entropy(logits_BKHW.float(), mask_BHW).backward()
    assert logits_BKHW.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
