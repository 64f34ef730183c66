"""The recipes row by row, against what the reports say: two tables that were typed without a look
at the recipes.
"""

from collections.abc import Mapping

import pytest

from objectives.config import (
    Adam,
    Augment,
    Config,
    InverseFrequency,
    Loss,
    NestedUNet,
    NoSecondPhase,
    Plateau,
    Train,
)
from spaces import Recipe, load_ensembles, load_recipes
from tests.support import report_b_rows, report_rows

OTHERS: Mapping[
    str, str
    # the recipe of each row of the tables; of report B a row is a recipe's name up to its first
    # hyphen
] = {
    "A1-convolution": "A1",
    "A2-three-convolutions": "A2",
    "A3-unet-base": "A3",
    "A4-unet-tc": "A4",
    "A5-unet-ra": "A5",
    "A6-unet-msra": "A6",
    "A7-double-unet": "A7",
    "A8-deeplabv3": "A8",
    "A9-unetplusplus": "A9",
    "A10-tms-unetplusplus": "A10",
    "A11-unet-ra-repeated": "A11",
    "A12-unet-ra-pasted": "A12",
    "C0-unet": "C0 plain",
    "C0-unet-weighted": "C0 weighted",
    "C0-unet-weighted-background-out": "C0 background out",
    "C1-unet-scag": "C1",
    "C2-unet-squeeze-excitation": "C2 squeeze-excitation",
    "C2-unet-residual": "C2 residual",
    "C2-unet-resnet34": "C2 resnet34",
    "C2-unet-vgg16": "C2 vgg16",
    "D1-unet": "D1",
    "D2-unet-dilated": "D2",
    "D3-unet-dilated-weighted": "D3",
    "D4-unet-dilated-weighted-regularised": "D4",
    "E0-unet-focal": "E0 focal",
    "E0-unet-dice": "E0 dice",
    "E0-unet-cross-entropy": "E0 cross-entropy",
    "E1-unet": "E1",
    "E1-unet-sgd": "E1 sgd",
    "E2-unet-gated": "E2",
    "E3-background-unet": "E3",
}
B0 = Config(  # beside the table: the report's first network, of 34 million parameters
    model=NestedUNet(depth=4, base_filters=64, deep_supervision=False),
    loss=Loss(class_weights=InverseFrequency(power=1.0)),
    second_loss=NoSecondPhase(),
    augment=Augment(intensity=0.0),
    optimiser=Adam(learning_rate=1e-3),
    schedule=Plateau(factor=0.1, patience=15),
    train=Train(early_stopping=20, ema=0.0),
)
OF_B: dict[str, report_rows.Row] = {
    row: (*found, False) for row, found in report_b_rows.ROWS.items()
}
OF_B |= {"B24": report_rows.ROWS["B24"], "B0": (B0, {"big_rock": 0.1}, False)}


def expected(name: str) -> report_rows.Row:
    return report_rows.ROWS[OTHERS[name]] if name in OTHERS else OF_B[name.partition("-")[0]]


def test_every_row_is_one_recipe_and_every_recipe_one_row() -> None:
    names = [each.name for each in load_recipes()]
    assert [name for name in names if not name.startswith("B")] == list(OTHERS)
    assert set(OTHERS.values()) | {"B24"} == report_rows.ROWS.keys()
    numbers = [int(row.removeprefix("B")) for row in OF_B if row != "B0"]
    assert [name.partition("-")[0] for name in names if name.startswith("B")] == [
        f"B{n}" for n in sorted(numbers)
    ] + ["B0"]
    ensembles = {int(row.removeprefix("B")) for row in report_b_rows.ENSEMBLES}
    assert {*numbers, *ensembles, 9} == set(range(1, 38))  # row 9 is a second run of row 8
    assert len({name.lower() for name in names}) == len(names)  # they are found in whatever case
    assert all(each.note for each in load_recipes())


def test_ensembles_are_those_of_the_rows() -> None:
    found = {
        each.name: (tuple(member.row for member in each.members), each.reported["hidden"])
        for each in load_ensembles()
    }
    assert found == report_b_rows.ENSEMBLES


@pytest.mark.parametrize("recipe", load_recipes(), ids=lambda each: each.name)
def test_a_recipe_is_the_system_of_its_row(recipe: Recipe) -> None:
    config, reported, learns_ignored = expected(recipe.name)
    assert recipe.config == config
    assert recipe.reported == reported
    assert recipe.learns_ignored == learns_ignored
    assert (recipe.row, recipe.report) == (recipe.name.partition("-")[0], recipe.name[0])
