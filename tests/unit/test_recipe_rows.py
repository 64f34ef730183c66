"""The recipes row by row: what each system of the reports is and what it reported, typed from the reports' rows."""

import pytest
import report_b_rows

from objectives.config import (
    SGD,
    Adam,
    AdamW,
    Augment,
    BackgroundUNet,
    ClassWeights,
    Config,
    ConvStack,
    DeepLab,
    DoubleUNet,
    GivenClassWeights,
    InverseFrequency,
    Lion,
    Loss,
    Model,
    NestedUNet,
    NoClassWeights,
    NoSecondPhase,
    Optimiser,
    Plateau,
    Smp,
    SmpDecoder,
    Train,
    UNet,
)
from spaces import choose_recipes, load_ensembles, load_recipes

ADAM = Adam(learning_rate=1e-3, weight_decay=0.0)
ADAMW = AdamW(learning_rate=1e-3, weight_decay=0.01)
LION = Lion(learning_rate=1e-4, weight_decay=0.01)
STILL = Augment(intensity=0.0)
INVERSE = InverseFrequency(power=1.0)
BY_HAND = GivenClassWeights(values=(0.0, 1.0, 1.0, 1.0, 2.0))


def system(
    model: Model,
    *,
    loss: Loss | None = None,
    weights: ClassWeights | None = None,
    augment: Augment = STILL,
    optimiser: Optimiser = ADAM,
    **train: float,
) -> Config:
    """A system in what it adds to the plainest training: cross-entropy, Adam, no augmentation, a rate cut after 15 epochs."""
    plain = {"batch_size": 32, "scale": 1.0, "rare_repeat": 1, "early_stopping": 0, "ema": 0.0, "gradient_clip": 0.0}
    return Config(
        model=model,
        loss=loss or Loss(cross_entropy=1.0, class_weights=weights or NoClassWeights()),
        second_loss=NoSecondPhase(),
        augment=augment,
        optimiser=optimiser,
        schedule=Plateau(factor=0.1, patience=15),
        train=Train.model_validate(plain | train),
    )


def moved(intensity: float, *groups: str, **transforms: bool) -> Augment:
    """Augmentation of these groups alone, without the transforms that are named."""
    every = ("flip", "vertical_flip", "geometry", "elastic", "photometric")
    switches = {group: group in groups for group in every}
    return Augment.model_validate({"intensity": intensity, "copy_paste": 0.0, **transforms, **switches})


def smp(decoder: SmpDecoder, encoder: str) -> Smp:
    return Smp(decoder=decoder, encoder=encoder, attention="none")


def report_a(model: Model) -> Config:
    return system(model, loss=Loss(cross_entropy=0.0, focal=0.8, dice=0.2, focal_gamma=2.0))


def report_c(model: Model) -> Config:
    return system(model, weights=INVERSE, augment=moved(0.3, "flip", "geometry", rotation=False, shear=False))


def report_d(model: UNet, weights: ClassWeights | None = None, l2: float = 0.0) -> Config:
    return system(model, weights=weights, augment=moved(0.5, "flip"), optimiser=Adam(learning_rate=1e-3, weight_decay=l2))


def report_e(model: Model, optimiser: Optimiser = ADAMW) -> Config:
    return system(model, optimiser=optimiser, early_stopping=30)


def validated(val: float, test: float, hidden: float, **classes: float) -> dict[str, float]:
    return {"val": val, "test": test, "hidden": hidden, **classes}


C1 = UNet(depth=4, base_filters=32, kernel_size=3, skip="spatial_channel_attention")
D2 = UNet(depth=3, base_filters=32, bottleneck="dilated_sequence_squeeze_excitation")

ROWS: dict[str, tuple[Config, dict[str, float]]] = {
    "A1-convolution": (report_a(ConvStack(depth=0)), validated(15.12, 13.68, 13.84)),
    "A2-three-convolutions": (
        report_a(ConvStack(depth=3, base_filters=64, growth=2.0, kernel_size=3)),
        validated(38.48, 38.64, 38.65),
    ),
    "A3-unet-base": (report_a(UNet(depth=2, base_filters=32, up="nearest")), validated(51.80, 50.16, 52.93)),
    "A4-unet-tc": (report_a(UNet(depth=3, base_filters=32, up="transpose")), validated(59.45, 58.91, 59.29)),
    "A5-unet-ra": (
        report_a(UNet(depth=3, base_filters=64, block="residual", skip="attention", up="transpose")),
        validated(65.09, 65.80, 65.73, soil=72.60, bedrock=54.36, sand=65.31, big_rock=3.64),
    ),
    "A6-unet-msra": (
        report_a(UNet(depth=3, base_filters=64, block="residual", skip="attention", bottleneck="dilated")),
        validated(62.00, 62.19, 62.35),
    ),
    "A7-double-unet": (report_a(DoubleUNet(depth=3, base_filters=32, layers=1, heads=4)), validated(59.49, 59.51, 59.49)),
    "A8-deeplabv3": (report_a(DeepLab(depth=2, base_filters=32, rate=6)), validated(54.39, 56.37, 56.18)),
    "A9-unetplusplus": (
        report_a(NestedUNet(depth=4, base_filters=64, up="bilinear", deep_supervision=True)),
        validated(60.45, 62.88, 62.56),
    ),
    "A10-tms-unetplusplus": (
        report_a(
            NestedUNet(
                depth=3,
                base_filters=64,
                block="residual",
                norm="group",
                bottleneck="transformer",
                heads=4,
                fusion="gated",
                up="bilinear",
                deep_supervision=False,
            )
        ),
        validated(59.96, 61.89, 60.07, big_rock=12.04),
    ),
    "C1-unet-scag": (report_c(C1), {"val": 72.46, "hidden": 70.66}),
    "C2-unet-squeeze-excitation": (report_c(C1.model_copy(update={"bottleneck": "squeeze_excitation"})), {}),
    "C2-unet-residual": (report_c(C1.model_copy(update={"bottleneck": "residual"})), {}),
    "C2-unet-resnet34": (report_c(Smp(decoder="unet", encoder="resnet34", attention="scse")), {}),
    "C2-unet-vgg16": (report_c(Smp(decoder="unet", encoder="vgg16", attention="scse")), {}),
    "D1-unet": (system(UNet(depth=2, base_filters=32)), {"hidden": 44.6}),
    "D2-unet-dilated": (report_d(D2), {"hidden": 49.6}),
    "D3-unet-dilated-weighted": (report_d(D2, BY_HAND), {"hidden": 61.5}),
    "D4-unet-dilated-weighted-regularised": (
        report_d(D2.model_copy(update={"dropout": 0.2}), BY_HAND, l2=1e-4),
        {"hidden": 68.7},
    ),
    "E1-unet": (report_e(UNet(depth=4, base_filters=32, up="transpose")), {"val": 64.39}),
    "E1-unet-sgd": (
        report_e(UNet(depth=4, base_filters=32), SGD(learning_rate=0.05, weight_decay=1e-4, momentum=0.9)),
        {"val": 62.09},
    ),
    "E2-unet-gated": (report_e(UNet(depth=4, base_filters=32, skip="gated", deep_supervision=True)), {}),
    "E3-background-unet": (report_e(BackgroundUNet(depth=4, base_filters=32, mask_filters=8)), {"val": 63.66}),
}


B0 = system(NestedUNet(depth=4, base_filters=64, deep_supervision=False), weights=INVERSE, early_stopping=20), {"big_rock": 0.1}
BY_ROW = {**report_b_rows.ROWS, "B0": B0}  # of report B its table's row is a recipe's name up to the first hyphen


def test_the_recipes_are_those_of_the_rows_in_their_order() -> None:
    others = [each.name for each in load_recipes() if each.report != "B"]
    assert others == list(ROWS)
    assert [each.row for each in load_recipes() if each.report == "B"] == list(BY_ROW)
    assert len({each.name.lower() for each in load_recipes()}) == 53  # names are found in whatever case
    assert all(each.note for each in load_recipes())


def test_ensembles_are_those_of_the_rows() -> None:
    found = {each.name: (tuple(member.row for member in each.members), each.reported["hidden"]) for each in load_ensembles()}
    assert found == report_b_rows.ENSEMBLES


@pytest.mark.parametrize("row", BY_ROW)
def test_a_recipe_of_report_b_is_the_system_of_its_row(row: str) -> None:
    (found,) = choose_recipes(row)
    assert (found.config, found.reported) == BY_ROW[row]


@pytest.mark.parametrize("name", ROWS)
def test_a_recipe_is_the_system_of_its_row(name: str) -> None:
    (found,) = choose_recipes(name)
    config, reported = ROWS[name]

    assert found.config == config
    assert found.reported == reported
    assert (found.row, found.report) == (name.partition("-")[0], name[0])
