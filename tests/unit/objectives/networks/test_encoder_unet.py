"""Our U-Net on an encoder of segmentation-models-pytorch: which levels are the encoder's, and what is
computed of them.
"""

from typing import Any

import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import EncoderUNet
from objectives.errors import UserError
from objectives.networks import build_network
from objectives.networks.encoder_unet import EncoderPath


def encoder_unet(encoder: str, **fields: Any) -> nn.Module:
    torch.manual_seed(0)
    model = EncoderUNet.model_validate({"encoder": encoder, "base_filters": 4, **fields})
    return build_network(model, in_channels=1, num_classes=3)


def path_of(network: nn.Module) -> EncoderPath:
    path = network.path
    assert isinstance(path, EncoderPath)
    return path


@pytest.mark.parametrize(
    ("encoder", "own"), [("resnet18", 1), ("vgg11", 0), ("mit_b0", 2), ("tu-test_convnext", 2)]
)
@pytest.mark.parametrize("depth", [2, 5])
def test_every_level_has_a_skip_the_encoders_where_it_has_a_map(
    encoder: str, own: int, depth: int
) -> None:
    path = path_of(encoder_unet(encoder, depth=depth).eval())

    assert (len(path.own), len(path.lateral)) == (own, depth - own)
    with torch.inference_mode():
        skips, deepest = path.way_down(torch.randn(1, 1, 64, 96))
    sides = [(64 >> level, 96 >> level) for level in range(depth + 1)]
    filters = [4 * 2**level for level in range(depth)]
    expected = [(1, *ends) for ends in zip(filters, *zip(*sides[:-1], strict=True), strict=True)]
    assert [tuple(skip.shape) for skip in skips] == expected
    assert deepest.shape[-2:] == sides[-1]


def test_logits_are_those_of_the_steps_written_out() -> None:
    network = encoder_unet("resnet18", depth=2, up="nearest", growth=1.0)
    for module in network.modules():  # so that no norm is an identity
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    network.eval()
    state = network.state_dict()
    theirs = get_encoder("resnet18", in_channels=1, depth=2, weights=None).eval()
    prefix = "path.encoder."
    taken = {name.removeprefix(prefix): value for name, value in state.items() if prefix in name}
    assert taken.keys() <= theirs.state_dict().keys()
    theirs.load_state_dict(taken, strict=False)

    def conv_norm(name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.0.weight"]
        x = functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
        norm = [state[f"{name}.1.{each}"] for each in ("running_mean", "running_var")]
        affine = [state[f"{name}.1.{each}"] for each in ("weight", "bias")]
        return functional.relu(functional.batch_norm(x, *norm, *affine))

    def block(name: str, x: Tensor) -> Tensor:
        return conv_norm(f"{name}.2", conv_norm(f"{name}.0", x))

    def joined(level: int, skip: Tensor, x: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        up = f"path.up.{level}.1"
        x = functional.conv2d(x, state[f"{up}.weight"], state[f"{up}.bias"], padding=1)
        return block(f"path.join.{level}.block", torch.cat([skip, x], dim=1))

    images_B1HW = torch.randn(2, 1, 32, 48)
    with torch.inference_mode():
        _, half, quarter = theirs(images_B1HW)
        lateral = functional.relu(
            functional.batch_norm(
                functional.conv2d(half, state["path.lateral.0.0.0.weight"]),
                state["path.lateral.0.0.1.running_mean"],
                state["path.lateral.0.0.1.running_var"],
                state["path.lateral.0.0.1.weight"],
                state["path.lateral.0.0.1.bias"],
            )
        )
        x = joined(0, lateral, block("path.bottleneck.0", quarter))
        x = joined(1, block("path.own.0", images_B1HW), x)
        expected = functional.conv2d(x, state["head.weight"], state["head.bias"])
        torch.testing.assert_close(network(images_B1HW), expected, rtol=1e-4, atol=1e-4)


def test_the_encoder_begins_as_its_library_has_it_and_ends_where_it_is_read() -> None:
    network = encoder_unet("resnet18", depth=3)
    torch.manual_seed(0)
    theirs = get_encoder("resnet18", in_channels=1, depth=3, weights=None).state_dict()

    ours = path_of(network).encoder.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert any(name.startswith("layer2.") for name in ours)
    assert not any(name.startswith(("layer3.", "layer4.")) for name in ours)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("resnet81", "did you mean"),
        ("tu-test_vit", "tu-test_vit cannot be built"),
        ("tu-swin_tiny_patch4_window7_224", "cannot be built"),
        ("tu-inception_v4", "a map of 61 pixels a side for 64"),
    ],
)
def test_an_encoder_that_cannot_be_is_one_line(encoder: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        encoder_unet(encoder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoder", ["efficientnet-b0", "tu-hrnet_w18_small", "tu-xception41"])
def test_what_its_library_calls_stays_though_nothing_reads_it(encoder: str) -> None:
    network = encoder_unet(encoder, depth=3).eval()

    with torch.inference_mode():
        assert network(torch.randn(1, 1, 61, 90)).shape == (1, 3, 61, 90)
    idle = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert all(name.startswith("path.encoder.") for name in idle)


def test_a_map_at_full_size_is_a_skip_whatever_the_channels_of_the_frames() -> None:
    model = EncoderUNet(encoder="vgg11", depth=2, base_filters=4)
    network = build_network(model, in_channels=64, num_classes=2)

    assert path_of(network).first == 0
