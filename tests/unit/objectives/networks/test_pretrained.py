"""Weights that were trained before: what fits is taken whole, what does not is named, and a first
convolution sees frames of any number of channels.
"""

import io
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from safetensors.torch import save
from torch import Tensor, nn

from objectives.config import Config, Model, Smp, Start, UNet
from objectives.errors import ProblemsError, UserError
from objectives.networks import build_network
from objectives.networks.pretrained import (
    ENCODERS,
    adapted,
    carried_names,
    encoder_normalisation,
    fit_encoder,
    load_start,
    started_from,
)
from objectives.networks.weights_file import WeightsFile, read_weights
from objectives.program.segmenter import normalised_for
from tests.support import pretrained
from tests.support.frame_specs import frame_spec

LITE0 = pretrained.ENCODER
UNET_OF_SMP: Mapping[str, object] = {"kind": "smp", "decoder": "unet"}
UNET_OF_OURS: Mapping[str, object] = {"kind": "encoder_unet", "depth": 4, "base_filters": 4}

FOUR_CHANNELS = frame_spec(
    (8, 8),
    ("one", "two"),
    4,
    std=(0.3,) * 4,
    colours=((0, 0, 0), (255, 255, 255)),
    ignore_label=None,
)


def start_of(extent: str, channels: int = 3) -> Start:
    half = (0.5,) * channels
    return Start.model_validate({"sha256": "0" * 64, "extent": extent, "mean": half, "std": half})


def lite0(channels: int, fields: Mapping[str, object] = UNET_OF_SMP) -> tuple[nn.Module, Model]:
    """A network on frames of so many channels that has begun with the real weights."""
    model = TypeAdapter(Model).validate_python(
        {**fields, "encoder": LITE0, "weights": "lite0", "start": start_of("encoder")}
    )
    torch.manual_seed(0)
    network = build_network(model, in_channels=channels, num_classes=4)
    file = read_weights(pretrained.lite0_file())
    load_start(network, model, file, channels=channels, num_classes=4)
    return network, model


def in_file(name: str) -> str:
    """What an encoder's tensor is called in a file by smp's names."""
    for place in ENCODERS:
        name = name.removeprefix(place)
    return name


@pytest.mark.parametrize("fields", [UNET_OF_SMP, UNET_OF_OURS], ids=lambda fields: fields["kind"])
def test_every_tensor_of_the_encoder_is_the_files_and_no_other_is(
    fields: Mapping[str, object],
) -> None:
    network, model = lite0(3, fields)
    torch.manual_seed(0)
    untouched = build_network(model, in_channels=3, num_classes=4).state_dict()

    wanted = pretrained.lite0_tensors()
    of_encoder = [name for name in untouched if name.startswith(ENCODERS)]
    assert len(of_encoder) > 50
    for name, value in network.state_dict().items():
        if name in of_encoder:
            assert torch.equal(value, wanted[in_file(name).removeprefix("model.")]), name
        else:
            assert torch.equal(value, untouched[name]), name


def test_a_torch_file_and_smps_own_names_give_the_same() -> None:
    tensors = pretrained.lite0_tensors()
    smps = {f"model.{name}": value for name, value in tensors.items()}
    torch_file = io.BytesIO()
    torch.save({"state_dict": dict(tensors), "epoch": 7}, torch_file)

    whole = fit_encoder(read_weights(pretrained.lite0_file()), LITE0)
    for other in (WeightsFile(smps, {}), read_weights(torch_file.getvalue())):
        fitted = fit_encoder(other, LITE0)
        assert fitted.keys() == whole.keys()
        assert all(torch.equal(fitted[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"blocks.0.0.bn1.weight": None}, "model.blocks.0.0.bn1.weight: must be there"),
        ({"blocks.9.extra": torch.zeros(2, 3)}, "blocks.9.extra: must be a tensor of .* 2 x 3"),
        (
            {"conv_stem.weight": torch.zeros(32, 1, 3, 3)},
            "conv_stem.weight: must have the shape 32",
        ),
    ],
)
def test_a_wrong_tensor_is_named(changed: Mapping[str, Tensor | None], said: str) -> None:
    tensors = {**pretrained.lite0_tensors(), **changed}
    file = WeightsFile({name: value for name, value in tensors.items() if value is not None}, {})

    with pytest.raises(ProblemsError, match=said) as error:
        fit_encoder(file, LITE0)
    assert len(error.value.problems) == 1


def test_a_declared_head_is_left_out_and_counters_may_lack() -> None:
    tensors = {
        name: value
        for name, value in pretrained.lite0_tensors().items()
        if not name.endswith("num_batches_tracked")
    } | {"segmentation.weight": torch.zeros(1)}

    with pytest.raises(ProblemsError, match=r"segmentation\.weight"):
        fit_encoder(WeightsFile(tensors, {}), LITE0)
    fitted = fit_encoder(WeightsFile(tensors, {"head": "aux., segmentation."}), LITE0)
    assert "segmentation.weight" not in fitted


@pytest.mark.parametrize("data", [b"", b"abc", b"\0" * 8 + b"{}", b"PK\x03\x04"])
def test_what_is_no_file_of_weights_is_one_line(data: bytes) -> None:
    with pytest.raises(UserError, match="safetensors file") as error:
        read_weights(data)
    assert "\n" not in str(error.value)


def test_a_file_that_would_run_something_is_refused() -> None:
    torch_file = io.BytesIO()
    torch.save({"model": nn.Linear(1, 1)}, torch_file)

    with pytest.raises(UserError, match="tensors alone"):
        read_weights(torch_file.getvalue())


@settings(max_examples=40, deadline=None)
@given(channels=st.integers(1, 9), seed=st.integers(0, 1000))
def test_a_first_convolution_is_adapted_by_the_rule_of_timm(channels: int, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(4, 3, 3, 3)).astype(np.float32)

    found = adapted(torch.from_numpy(weights), torch.Size((4, channels, 3, 3))).numpy()

    if channels == 1:
        expected = weights.sum(axis=1, keepdims=True)
    elif channels == 3:
        expected = weights
    else:
        expected = np.stack([weights[:, c % 3] * (3 / channels) for c in range(channels)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_grey_frames_are_seen_as_the_same_frames_in_three_channels() -> None:
    grey, _ = lite0(1)
    colour, _ = lite0(3)
    six, _ = lite0(6)
    torch.manual_seed(1)
    images_B1HW = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        seen = [
            network.eval().network.encoder(images_B1HW.repeat(1, channels, 1, 1))[-1]
            for network, channels in ((grey, 1), (colour, 3), (six, 6))
        ]

    for other in seen[1:]:
        torch.testing.assert_close(other, seen[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"kind": "smp", "decoder": decoder}
            for decoder in ("unet", "fpn", "pspnet", "deeplabv3plus", "segformer")
        ),
        *({**UNET_OF_OURS, "depth": depth} for depth in (2, 3, 5)),
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_every_decoder_takes_what_it_reads_of_the_encoder(fields: Mapping[str, object]) -> None:
    network, model = lite0(1, fields)
    names = carried_names(network, model, channels=1, num_classes=4)

    assert len(names) > 50
    fitted = fit_encoder(read_weights(pretrained.lite0_file()), LITE0)
    for name in names:
        value = network.state_dict()[name]
        theirs = fitted[in_file(name)]
        assert value.shape == theirs.shape or "conv_stem" in name
        assert torch.equal(value, adapted(theirs, value.shape)), name


def test_frames_are_normalised_by_the_weights_or_by_the_data() -> None:
    spec = FOUR_CHANNELS
    start = Start(sha256="0" * 64, extent="encoder", mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    model = Smp(weights="x", start=start)

    ours = normalised_for(model, spec)
    assert (ours.mean, ours.std) == ((0.1, 0.2, 0.3, 0.1), (1.0, 2.0, 3.0, 1.0))
    assert start.normalisation(1) == (pytest.approx((0.2,)), pytest.approx((2.0,)))
    assert normalised_for(model.model_copy(update={"normalise": "data"}), spec) == spec
    assert normalised_for(Smp(), spec) == spec


def test_what_an_encoder_is_normalised_by_is_what_its_library_says() -> None:
    assert encoder_normalisation(LITE0) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    mean, std = encoder_normalisation("resnet18")
    assert (mean[0], std[0]) == (0.485, 0.229)


@pytest.mark.parametrize(("extent", "classes"), [("network", 4), ("body", 6)])
def test_a_whole_network_starts_from_another_and_its_head_only_for_the_same_classes(
    extent: str, classes: int
) -> None:
    model = UNet(depth=2, base_filters=4, deep_supervision=True)
    torch.manual_seed(1)
    before = build_network(model, in_channels=1, num_classes=4).state_dict()
    data = save({f"members.0.network.{name}": value for name, value in before.items()})
    started = model.model_copy(update={"weights": "before", "start": start_of(extent, 1)})
    torch.manual_seed(2)
    network = build_network(started, in_channels=1, num_classes=classes)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}

    load_start(network, started, read_weights(data), channels=1, num_classes=classes)

    names = carried_names(network, started, channels=1, num_classes=classes)
    heads = before.keys() - names
    assert heads == {"head.weight", "head.bias", "auxiliary.0.weight", "auxiliary.0.bias"}
    for name, value in network.state_dict().items():
        theirs = fresh if extent == "body" and name in heads else before
        assert torch.equal(value, theirs[name]), name


def test_a_name_that_no_study_has_given_a_meaning_is_refused() -> None:
    assert started_from(Config().model) is None
    with pytest.raises(UserError, match="no study has given weights 'lite0'"):
        started_from(Smp(weights="lite0"))
