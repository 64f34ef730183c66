"""The contract of every network, check by check; a test file calls them with its own models."""

import copy
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Model
from objectives.networks import all_outputs, build_network


def network_of(
    model: Model, *, in_channels: int = 1, num_classes: int = 5, seed: int = 0
) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(model, in_channels=in_channels, num_classes=num_classes)


def loss_of(outputs: tuple[Tensor, ...], mask_BHW: Tensor) -> Tensor:
    """The mean over all outputs, as deep supervision has it."""
    return torch.stack(
        [functional.cross_entropy(logits_BKHW.float(), mask_BHW) for logits_BKHW in outputs]
    ).mean()


def pattern(frames: int, height: int, width: int, *, block: int = 4) -> tuple[Tensor, Tensor]:
    """Noisy frames of square blocks whose label follows the grey value; a coarse network needs
    large blocks.
    """
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 4, (frames, 1, height // block, width // block), generator=generator)
    mask_BHW = (
        functional.interpolate(blocks.float(), scale_factor=block, mode="nearest").squeeze(1).long()
    )
    noise = torch.randn(frames, 1, height, width, generator=generator)
    return mask_BHW[:, None].float() - 1.5 + 0.2 * noise, mask_BHW


def check_size(model: Model, *, channels: int, classes: int, height: int, width: int) -> None:
    """The logits have the size of the images, and a value."""
    network = network_of(model, in_channels=channels, num_classes=classes).train()
    images_BCHW = torch.randn(2, channels, height, width).to(memory_format=torch.channels_last)
    logits_BKHW = network(images_BCHW)
    assert logits_BKHW.shape == (2, classes, height, width)
    assert logits_BKHW.isfinite().all()


def check_padding(model: Model, *, height: int, width: int) -> None:
    """The crop keeps the top left: a frame padded by hand to a size that fits gives the same logits
    there.
    """
    network = network_of(model).eval()
    images_BCHW = torch.randn(1, 1, height - 2, width - 3)
    by_hand = functional.pad(images_BCHW, (0, 3, 0, 2), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(
            network(images_BCHW), network(by_hand)[..., : height - 2, : width - 3]
        )


def check_gradients(model: Model, *, seeds: int = 1) -> None:
    """A unit with one hidden channel may be born dead: with several ``seeds``, a gradient under one
    of them is enough.
    """
    unreached: list[set[str]] = []
    for seed in range(seeds):
        network = network_of(model, seed=seed).train()
        images_BCHW, mask_BHW = pattern(4, 32, 64)
        loss_of(all_outputs(network, images_BCHW), mask_BHW).backward()  # type: ignore[no-untyped-call]
        unreached.append(
            {
                name
                for name, p in network.named_parameters()
                if p.grad is None or not p.grad.abs().sum() > 0
            }
        )
        if not unreached[-1]:
            break
    assert set.intersection(*unreached) == set()


def check_all_outputs(model: Model) -> None:
    """They are those of forward and of the auxiliary heads."""
    network = network_of(model).eval()
    images_BCHW = torch.randn(2, 1, 19, 26)
    with torch.inference_mode():
        first, *others = all_outputs(network, images_BCHW)
        torch.testing.assert_close(first, network(images_BCHW))
    assert bool(others) == getattr(model, "deep_supervision", False)
    assert all(logits.shape == first.shape == (2, 5, 19, 26) for logits in others)
    assert not any(torch.allclose(logits, first) for logits in others)


def check_overfits(
    model: Model,
    *,
    height: int,
    width: int,
    block: int = 4,
    least: float = 0.97,
    rate: float = 1e-2,
    steps: int = 150,
) -> None:
    """Eight frames are learnt: right in a step of training, with its batch statistics and dropout,
    and right without.

    Where running statistics take in too little of each batch for so few steps (1 % in an
    EfficientNet), they are taken anew.
    """
    network = network_of(model).to(memory_format=torch.channels_last)
    images_BCHW, mask_BHW = pattern(8, height, width, block=block)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    training = evaluated = 0.0
    for _ in range(steps):
        optimiser.zero_grad()
        outputs = all_outputs(network.train(), images_BCHW)
        loss_of(outputs, mask_BHW).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        training = _share_right(outputs[0], mask_BHW)
        if training > least:
            _settle_statistics(network, images_BCHW)
            with torch.inference_mode():
                evaluated = _share_right(network.eval()(images_BCHW), mask_BHW)
            if evaluated > least:
                return
    raise AssertionError(
        f"{training:.3f} of the pixels are right in training, {evaluated:.3f} after it, in {steps} "
        f"steps"
    )


def _settle_statistics(network: nn.Module, images_BCHW: Tensor) -> None:
    """Running statistics that move by less than a tenth become the mean over some passes."""
    slow = [
        each
        for each in network.modules()
        if isinstance(each, nn.BatchNorm2d) and (each.momentum or 1.0) < 0.1
    ]
    momenta = [each.momentum for each in slow]
    if not slow:
        return
    for each in slow:
        each.reset_running_stats()
        each.momentum = None  # then statistics are the plain mean over all passes
    with torch.inference_mode():
        for _ in range(10):
            network(images_BCHW)
    for each, momentum in zip(slow, momenta, strict=True):
        each.momentum = momentum


def _share_right(logits_BKHW: Tensor, mask_BHW: Tensor) -> float:
    return (logits_BKHW.argmax(1) == mask_BHW).float().mean().item()


def check_onnx(
    model: Model, folder: Path, *, height: int = 30, width: int = 50, tie: float = 0.0
) -> None:
    """ONNX Runtime agrees, for any number of frames; where the best two logits differ by less than
    ``tie``, either may win.

    Within 1e-4; where torch itself is farther from the same network in double precision, within
    twice that distance.
    """
    network = network_of(model).train()
    images_BCHW = torch.randn(2, 1, height, width)
    with torch.inference_mode():
        # running statistics as after training; without them logits of 100 and more round too
        # coarsely
        for _ in range(20):
            network(images_BCHW)
    network.eval()
    path = folder / "network.onnx"
    shapes = ({0: torch.export.Dim("frames", min=1)},)
    torch.onnx.export(
        network, (images_BCHW,), path, dynamic_shapes=shapes, dynamo=True, verbose=False
    )
    images_BCHW = torch.randn(3, 1, height, width)  # the number of frames is free
    with torch.inference_mode():
        expected_BKHW = network(images_BCHW)
        exact_BKHW = copy.deepcopy(network).double()(images_BCHW.double())
    rounding = (expected_BKHW - exact_BKHW).abs().max().item()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {session.get_inputs()[0].name: images_BCHW.numpy()})
    np.testing.assert_allclose(actual, exact_BKHW.numpy(), rtol=0, atol=max(1e-4, 2 * rounding))
    best, second = expected_BKHW.topk(2, dim=1).values.unbind(1)
    differing = torch.from_numpy(actual).argmax(1) != expected_BKHW.argmax(1)
    assert not (differing & (best - second >= tie)).any()


def check_safetensors(model: Model, folder: Path) -> None:
    """Weights that were saved and read again give the same logits, in a network that began
    elsewhere.
    """
    network = network_of(model).to(memory_format=torch.channels_last)
    network.train()(torch.randn(4, 1, 32, 32))  # moves the running statistics away from their start
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
        folder / "weights.safetensors",
    )
    again = network_of(model, seed=1).to(memory_format=torch.channels_last)
    images_BCHW = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        expected = network.eval()(images_BCHW)
        assert not torch.equal(again.eval()(images_BCHW), expected)
        again.load_state_dict(load_file(folder / "weights.safetensors"))
        torch.testing.assert_close(again(images_BCHW), expected)


def check_bf16(model: Model) -> None:
    """Training in bf16 autocast: every output has that type and a value, every gradient a value."""
    network = network_of(model).train().to(memory_format=torch.channels_last)
    images_BCHW, mask_BHW = pattern(4, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = all_outputs(network, images_BCHW)
    assert all(
        logits_BKHW.dtype == torch.bfloat16 and logits_BKHW.isfinite().all()
        for logits_BKHW in outputs
    )
    loss_of(outputs, mask_BHW).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def check_seed(model: Model) -> None:
    """The same seed gives the same network."""
    one, other = network_of(model).state_dict(), network_of(model).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
