"""The contract of networks over every decoder of segmentation-models-pytorch, each on the smallest
encoder.
"""

from pathlib import Path
from typing import get_args

import pytest
from segmentation_models_pytorch import MODEL_ARCHITECTURES_MAPPING, create_model
from segmentation_models_pytorch.base.modules import SCSEModule

from objectives.config import Smp, SmpDecoder
from objectives.errors import UserError
from objectives.networks.smp import build_smp, encoder_names
from tests.support import network_checks as checks

pytestmark = pytest.mark.long

# 81,868 parameters: the fewest among smp's own encoders and some forty of the smallest timm
# families that were counted
SMALLEST = "tu-test_efficientnet"
every_decoder = pytest.mark.parametrize("decoder", get_args(SmpDecoder))
ENCODERS_OF_THE_REPORTS = (
    *(
        "resnet18",
        "resnet34",
        "mobilenet_v2",
        "tu-mobilenetv3_large_100",
        "tu-mobilenetv3_small_100",
        "tu-efficientnet_b1",
    ),
    *(
        "xception",
        "inceptionv4",
        "inceptionresnetv2",
        "mobileone_s4",
        "dpn107",
        "dpn131",
        "mit_b0",
        "vgg16",
        "vgg16_bn",
    ),
)


def test_every_decoder_of_smp_is_there_but_the_one_for_vision_transformers() -> None:
    assert set(get_args(SmpDecoder)) == set(MODEL_ARCHITECTURES_MAPPING) - {"dpt"}
    with pytest.raises(ValueError, match="Only Timm encoders are supported for DPT"):
        create_model("dpt", "resnet18", encoder_weights=None)


@every_decoder
def test_logits_have_the_size_of_the_images(decoder: SmpDecoder) -> None:
    for channels, classes, height, width in [(1, 5, 64, 128), (3, 2, 37, 50), (4, 7, 5, 9)]:
        checks.check_size(
            Smp(decoder=decoder, encoder=SMALLEST),
            channels=channels,
            classes=classes,
            height=height,
            width=width,
        )


@every_decoder
def test_the_padding_does_not_touch_frames_that_fit(decoder: SmpDecoder) -> None:
    side = 128 if decoder == "pan" else 32
    checks.check_padding(Smp(decoder=decoder, encoder=SMALLEST), height=side, width=side + 32)


@pytest.mark.parametrize("attention", ["none", "scse"])
@every_decoder
def test_a_gradient_reaches_every_parameter(decoder: SmpDecoder, attention: str) -> None:
    if attention == "scse" and decoder not in ("unet", "unetplusplus"):
        with pytest.raises(
            UserError, match=rf"model\.attention must be none with decoder {decoder}, got scse"
        ):
            build_smp(Smp(decoder=decoder, attention="scse"), in_channels=1, num_classes=2)
        return
    checks.check_gradients(
        Smp.model_validate({"decoder": decoder, "encoder": SMALLEST, "attention": attention}),
        seeds=4,
    )


@every_decoder
def test_it_overfits_eight_frames(decoder: SmpDecoder) -> None:
    checks.check_overfits(
        Smp(decoder=decoder, encoder=SMALLEST), height=32, width=64, block=16, rate=3e-3
    )


@every_decoder
def test_onnx_runtime_agrees(decoder: SmpDecoder, tmp_path: Path) -> None:
    checks.check_onnx(Smp(decoder=decoder, encoder=SMALLEST), tmp_path)


@every_decoder
def test_safetensors_round_trip(decoder: SmpDecoder, tmp_path: Path) -> None:
    checks.check_safetensors(Smp(decoder=decoder, encoder=SMALLEST), tmp_path)


@every_decoder
def test_it_runs_in_bf16_autocast(decoder: SmpDecoder) -> None:
    checks.check_bf16(Smp(decoder=decoder, encoder=SMALLEST))


@every_decoder
def test_forward_is_the_only_output(decoder: SmpDecoder) -> None:
    checks.check_all_outputs(Smp(decoder=decoder, encoder=SMALLEST))


@every_decoder
def test_the_same_seed_gives_the_same_network(decoder: SmpDecoder) -> None:
    checks.check_seed(Smp(decoder=decoder, encoder=SMALLEST))


def test_what_no_logit_depends_on_is_not_there() -> None:
    """PSPNet reads three of five stages: the others, 10.5 of 11.3 million parameters, are gone."""
    network = build_smp(Smp(decoder="pspnet", encoder="resnet18"), in_channels=1, num_classes=5)
    assert 0.8e6 < sum(p.numel() for p in network.parameters()) < 0.9e6


@pytest.mark.parametrize(
    ("base", "other"),
    [
        (Smp(encoder=SMALLEST), Smp(encoder=SMALLEST, decoder="linknet")),
        (Smp(encoder=SMALLEST), Smp(encoder="tu-test_resnet")),
        (Smp(encoder=SMALLEST), Smp(encoder=SMALLEST, attention="scse")),
        (
            Smp(encoder=SMALLEST, decoder="unetplusplus"),
            Smp(encoder=SMALLEST, decoder="unetplusplus", attention="scse"),
        ),
    ],
    ids=["decoder", "encoder", "attention", "attention-unetplusplus"],
)
def test_changing_a_field_changes_the_network(base: Smp, other: Smp) -> None:
    networks = [checks.network_of(model).eval() for model in (base, other)]
    one, two = (
        {name: tensor.shape for name, tensor in network.state_dict().items()}
        for network in networks
    )
    assert one != two
    attentive = [
        sum(isinstance(module, SCSEModule) for module in network.modules()) for network in networks
    ]
    assert [count > 0 for count in attentive] == [
        model.attention == "scse" for model in (base, other)
    ]


def test_the_encoders_of_the_reports_have_names() -> None:
    assert set(ENCODERS_OF_THE_REPORTS) <= set(encoder_names())


@pytest.mark.parametrize(
    ("decoder", "encoder", "complaint"),
    [
        (
            "unet",
            "resnet19",
            r"model\.encoder must be an encoder .*, got resnet19; did you mean resnet18",
        ),
        ("unet", "timm-mobilenetv3_large_100", r"did you mean tu-mobilenetv3_large_100"),
        (
            "unetplusplus",
            "mit_b0",
            r"model\.encoder: the decoder unetplusplus .* does not work with mit_b0",
        ),
        ("linknet", "mit_b0", r"model\.encoder: the decoder linknet .* does not work with mit_b0"),
        (
            "deeplabv3",
            "vgg11",
            r"does not work with vgg11 \('VGG' models do not support dilated mode",
        ),
        ("unet", "tu-test_vit", r"does not work with tu-test_vit"),
    ],
)
def test_what_smp_refuses_is_one_clear_error(
    decoder: SmpDecoder, encoder: str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        build_smp(Smp(decoder=decoder, encoder=encoder), in_channels=1, num_classes=5)
    assert "\n" not in str(caught.value)
