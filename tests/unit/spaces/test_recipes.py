"""The recipes: every system of the reports, inside `mars`, found by name, scaled, and cut to what
the data allows.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from objectives.config import (
    SGD,
    Adam,
    AdamW,
    Augment,
    BackgroundUNet,
    Config,
    GivenClassWeights,
    InverseFrequency,
    Lion,
    Loss,
    NestedUNet,
    OneCycle,
    Plateau,
    SecondPhase,
    Train,
    UNet,
)
from objectives.data.options import DataOptions
from objectives.errors import ProblemsError, UserError
from search.cli.actions.recipes_list import count_trainable
from search.cli.app import answer
from search.place import Place
from search.report.recipe_table import RecipeResult, markdown, shown_reported
from search.study.record import State
from search.study.setup import Prepared, Request, prepare
from spaces import (
    FromParams,
    Recipe,
    choose_recipes,
    load_ensembles,
    load_recipes,
    load_space,
    load_stored_space,
)
from spaces.domains import Choice, Fixed
from spaces.fitting import VALUES, fit_recipes, fit_space, refuse_large_crops
from spaces.recipes import scaled


def recipe(name: str) -> Recipe:
    (found,) = choose_recipes(name)
    return found


@pytest.mark.parametrize("each", load_recipes(), ids=lambda each: each.name)
def test_every_recipe_lies_in_mars_and_is_drawn_as_it_is(each: Recipe) -> None:
    space = load_space("mars", ["train.epochs=7"])
    config = space.draw(FromParams(space.encode(space.paced(each.config))))

    assert config.train.epochs == 7
    parts = ("model", "loss", "second_loss", "optimiser", "schedule", "augment")
    assert {part: getattr(config, part) for part in parts} == {
        part: getattr(each.config, part) for part in parts
    }
    assert config.train.model_copy(update={"epochs": each.config.train.epochs}) == each.config.train


FOCAL4 = Loss(cross_entropy=0.0, focal=1.0, focal_gamma=4.0)
REACHED = {
    "L1": {"loss": FOCAL4},
    "L2": {"loss": Loss(cross_entropy=0.0, generalised_dice=1.0)},
    "L2 dice": {"loss": Loss(cross_entropy=0.0, dice=1.0)},
    "L3": {"loss": Loss(cross_entropy=0.0, focal=0.8, dice=0.2)},
    "L4": {"loss": Loss(class_weights=InverseFrequency(power=1.0))},
    "L6": {"loss": Loss(class_weights=GivenClassWeights(values=(0, 1, 1, 1, 2)))},
    "L7": {
        "loss": Loss(
            cross_entropy=0.0, tversky=0.25, unified_focal=0.25, jaccard=0.25, boundary=0.25
        )
    },
    "G1": {"augment": Augment(geometry=False, photometric=False)},
    "G2": {"augment": Augment(intensity=0.3, shear=False, photometric=False)},
    "G3": {"augment": Augment(vertical_flip=True, shear=True, elastic=True)},
    "G4": {"train": Train(rare_repeat=4)},
    "G5": {"augment": Augment(intensity=0.0, copy_paste=0.8, copy_paste_edge="hard")},
    "G5 counted": {
        "augment": Augment(copy_paste=0.8),
        "train": Train(rare_repeat=2, rare_pasted=True),
    },
    "G6": {"train": Train(scale=0.5)},
    "T1 adam": {"optimiser": Adam()},
    "T1 adamw": {"optimiser": AdamW()},
    "T1 sgd": {"optimiser": SGD()},
    "T1 lion": {"optimiser": Lion()},
    "T2": {"schedule": Plateau(factor=0.1, patience=15), "train": Train(early_stopping=20)},
    "T2 on the loss": {
        "schedule": Plateau(watch="loss"),
        "train": Train(early_stopping=20, stop_on="loss"),
    },
    "T2 one cycle": {"schedule": OneCycle(), "train": Train(early_stopping=30)},
    "T3": {"model": UNet(dropout=0.2, norm="group"), "optimiser": Adam(weight_decay=1e-4)},
    "T4": {"loss": Loss(), "second_loss": SecondPhase(cross_entropy=0.5, boundary=0.5)},
}


@pytest.mark.parametrize("row", REACHED)
def test_every_row_that_is_a_part_of_a_system_is_a_point_of_mars(row: str) -> None:
    space = load_space("mars")
    config = space.paced(Config(**REACHED[row]))  # type: ignore[arg-type]

    assert space.draw(FromParams(space.encode(config))) == config


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("a5", ["A5-unet-ra"]),
        ("A1", ["A1-convolution"]),
        ("c1, A5-UNET-RA ,a5", ["A5-unet-ra", "C1-unet-scag"]),
        ("E1", ["E1-unet", "E1-unet-sgd"]),
        ("ALL", [each.name for each in load_recipes()]),
    ],
)
def test_recipes_are_chosen_by_row_or_name_each_once_in_their_order(
    wanted: str, names: list[str]
) -> None:
    assert [each.name for each in choose_recipes(wanted)] == names


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("A5,A55", "no recipe a55: did you mean A5-unet-ra"),
        ("A5-unet-rb", "did you mean A5-unet-ra"),
        ("", "no recipe"),
        ("A5,", "no recipe"),
        ("zzzzzzzz", "see `search recipes list`"),
    ],
)
def test_an_unknown_recipe_is_told_with_near_names(wanted: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        choose_recipes(wanted)


def test_scaling_changes_filters_alone() -> None:
    a5, e3 = recipe("A5"), recipe("E3")

    assert scaled(a5, 0.25).config == a5.config.model_copy(
        update={"model": a5.config.model.model_copy(update={"base_filters": 16})}
    )
    assert scaled(e3, 0.25).config.model == BackgroundUNet(depth=4, base_filters=8, mask_filters=4)
    assert scaled(e3, 0.01).config.model == BackgroundUNet(depth=4, base_filters=4, mask_filters=4)
    assert scaled(recipe("A9"), 0.55).config.model == NestedUNet(depth=4, base_filters=36)
    assert scaled(recipe("B16"), 0.25) == recipe("B16")
    assert scaled(a5, 1.0) == a5
    for scale in (0.0, -1.0, 1.5):
        with pytest.raises(UserError, match="at most 1"):
            scaled(a5, scale)


def test_given_class_weights_fit_one_number_of_classes() -> None:
    mars = load_space("mars")
    chosen, lines = fit_recipes("all", mars, 3)
    everything, nothing = fit_recipes("all", mars, 5)

    assert {each.name for each in load_recipes()} - {each.name for each in chosen} == {
        "D3-unet-dilated-weighted",
        "D4-unet-dilated-weighted-regularised",
    }
    assert "D3-unet-dilated-weighted" in lines[0]
    assert (everything, nothing) == (load_recipes(), ())
    with pytest.raises(UserError, match=r"D4-.*: the class weights are not for 3 classes"):
        fit_recipes("A5,D4", mars, 3)


def test_a_recipe_outside_the_space_is_told_with_every_field() -> None:
    space = load_space("mars", ["model.unet.skip=concat", "train.batch_size=16"])

    with pytest.raises(ProblemsError) as caught:
        fit_recipes("A4,A5", space, 5)
    assert [problem.where for problem in caught.value.problems] == [
        "A4-unet-tc, train.batch_size",
        "A5-unet-ra, model.skip",
        "A5-unet-ra, train.batch_size",
    ]


def test_a_space_is_cut_to_the_classes_of_the_data() -> None:
    mars = load_space("mars")
    cut, lines = fit_space(mars, 3)

    assert fit_space(mars, 5) == (mars, ())
    assert cut.domains["loss.class_weights.kind"] == Choice(("none", "inverse_frequency"))
    assert VALUES not in cut.domains
    assert cut.default() == mars.default()
    assert load_stored_space(cut.to_dict()) == cut
    assert lines == (
        f"{VALUES}: [0.0, 1.0, 1.0, 1.0, 2.0] is left out, since the data has 3 classes",
    )

    steps = (
        "[{loss.class_weights: {kind: given, values: [0, 1, 1, 1, 2]}}, {model.base_filters: 24}]"
    )
    cut, _ = fit_space(load_space("mars", [f"steps={steps}"]), 3)
    (left,) = (cut.draw(FromParams(step)) for step in cut.steps)
    assert left.model.base_filters == 24


def test_crops_that_no_frame_fills_are_refused() -> None:
    sizes = [(64, 128), (96, 32)]
    for fitting in ("none", "96x128", "{choice: [none, 64x64, 500x128]}"):
        refuse_large_crops(load_space("tiny", [f"train.crop={fitting}"]), sizes)
    space = load_space("tiny", ["train.crop={choice: [none, 64x64, 97x129, 9999x9999]}"])
    with pytest.raises(ProblemsError, match="at most 96x128, got 97x129, 9999x9999"):
        refuse_large_crops(space, sizes)


def test_lists_of_weights_that_fit_stay_and_a_control_that_does_not_fit_is_refused() -> None:
    given = [
        "loss.class_weights.kind=given",
        "loss.class_weights.values={choice: [[1, 2], [1, 2, 3]]}",
    ]
    space = load_space(
        "small", [*given, "control.loss.class_weights={kind: given, values: [1, 2, 3]}"]
    )

    assert fit_space(space, 3)[0].domains[VALUES] == Fixed((1.0, 2.0, 3.0))
    with pytest.raises(ProblemsError, match="the data has 2 classes and needs one weight for each"):
        fit_space(space, 2)


def prepared(folder: Path, **asked: Any) -> Prepared:
    place = Place("", str(folder / "artifacts"), folder / "cache")
    return prepare(
        Request(**{"name": "s", "source": "synthetic:40", "space": "mars", "trials": 50} | asked),
        place,
    )


def test_a_study_takes_the_recipes_that_are_asked_for_or_that_its_space_names(
    tmp_path: Path,
) -> None:
    asked = prepared(tmp_path, recipes="c1,A5").spec

    assert asked.recipes == ("A5-unet-ra", "C1-unet-scag")
    assert asked == prepared(tmp_path, recipes="A5,C1").spec
    assert prepared(
        tmp_path, space="recipes", trials=len(load_recipes()) + 1
    ).spec.recipes == tuple(each.name for each in load_recipes() if not each.learns_ignored)
    assert prepared(tmp_path, space="recipes", recipes="D1").spec.recipes == ("D1-unet",)
    assert prepared(tmp_path).spec.recipes == ()


def test_more_recipes_than_trials_are_refused(tmp_path: Path) -> None:
    assert len(prepared(tmp_path, recipes="B8,B10,B12,B13", trials=5).spec.recipes) == 4
    with pytest.raises(
        UserError, match=r"--trials must be at least 5 for the control and 4 recipes, got 4"
    ):
        prepared(tmp_path, recipes="B8,B10,B12,B13", trials=4)
    usual = sum(not each.learns_ignored for each in load_recipes())
    with pytest.raises(
        UserError,
        match=rf"--trials must be at least {usual + 1} for the control and {usual} recipes, got 20",
    ):
        prepared(tmp_path, space="recipes", trials=20)


def test_data_of_other_classes_cuts_space_and_recipes_and_says_so(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frames_and_masks = generator.integers(0, 3, (40, 2, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "three.npz", training_set=frames_and_masks)

    made = prepared(tmp_path, source=str(tmp_path / "three.npz"), recipes="all", trials=100)
    usual = [each.name for each in load_recipes() if not each.learns_ignored]
    assert list(made.spec.recipes) == [name for name in usual if not name.startswith(("D3", "D4"))]
    assert (
        len([line for line in made.findings if "left out, since the data has 3 classes" in line])
        == 2
    )
    with pytest.raises(
        UserError, match="D3-unet-dilated-weighted: the class weights are not for 3 classes"
    ):
        prepared(tmp_path, source=str(tmp_path / "three.npz"), recipes="D3")


def test_parameters_are_those_of_the_network_on_grey_frames_of_five_classes() -> None:
    assert count_trainable(recipe("A1")) == 10
    assert count_trainable(recipe("A4")) == 1_926_565


def test_the_list_for_scripts_has_a_row_for_every_recipe_with_these_keys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert answer(["recipes", "list", "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)

    recipes, ensembles = rows[: len(load_recipes())], rows[len(load_recipes()) :]
    assert [(row["name"], row["report"]) for row in recipes] == [
        (each.name, each.report) for each in load_recipes()
    ]
    assert [row["name"] for row in ensembles] == ["B5", "B11", "B15", "B18", "B34", "B37"]
    for row in rows:
        assert list(row) == [
            "name",
            *(["members"] if row in ensembles else []),
            "parameters",
            "report",
            "reported",
        ]
        kinds = [str, list, int, str, dict] if row in ensembles else [str, int, str, dict]
        assert [type(value) for value in row.values()] == kinds
        assert all(type(value) is float for value in row["reported"].values())
    assert rows[3] == {
        "name": "A4-unet-tc",
        "parameters": 1_926_565,
        "report": "A",
        "reported": {"val": 59.45, "test": 58.91, "hidden": 59.29},
    }


def test_a_cell_of_the_table_holds_a_report_s_figures_but_not_those_by_class() -> None:
    cells = {row: shown_reported(recipe(row).reported) for row in ("A5", "A10", "B16", "B8", "E2")}

    assert cells == {
        "A5": "val 65.09, test 65.8, hidden 65.73",
        "A10": "val 59.96, test 61.89, hidden 60.07",
        "B16": "hidden 60.7",
        "B8": "hidden 54.4, hidden_second_run 54.6",
        "E2": "-",
    }


def test_what_a_config_that_cannot_be_built_lacks_is_a_dash_in_the_table() -> None:
    nothing = RecipeResult(
        "B16-manet-mobileone-s4-focal-repeated",
        3,
        State.PRUNED,
        "infeasible",
        float("nan"),
        {},
        0,
        0,
        parameters=0,
        minutes=0.0,
    )
    built = replace(
        nothing,
        state=State.COMPLETE,
        score=0.5,
        per_class={"soil": 0.25},
        best_epoch=2,
        epochs=4,
        parameters=1234,
    )

    assert markdown([built, nothing], ["soil"], "mean IoU").splitlines()[2:] == [
        "| B16-manet-mobileone-s4-focal-repeated | hidden 60.7 | 50.0 | 25.0 | 2 of 4 | 1,234 | "
        "0.0 |",
        "| B16-manet-mobileone-s4-focal-repeated | hidden 60.7 | infeasible | - | - | - | 0.0 |",
    ]


def test_show_prints_configs_that_can_be_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["recipes", "show", "a5,D4"]) == 0
    shown: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)

    assert list(shown) == ["A5-unet-ra", "D4-unet-dilated-weighted-regularised"]
    for name, written in shown.items():
        assert list(written) == ["report", "reported", "note", "config"]
        assert list(written["config"]) == list(Config.model_fields)
        assert "epochs" not in written["config"]["train"]  # those are the study's
        assert (written["report"], written["note"]) == (recipe(name).report, recipe(name).note)
        assert Config.model_validate(written["config"]) == recipe(name).config
        assert written["reported"] == recipe(name).reported
    assert shown["A5-unet-ra"]["reported"]["hidden"] == 65.73


def test_show_of_an_unknown_recipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["recipes", "show", "A55"]) == 2
    assert capsys.readouterr().err == "search: no recipe a55: did you mean A5-unet-ra?\n"


def test_what_is_stored_of_a_space_names_recipes_and_pruning_only_where_they_are_given() -> None:
    before = load_space("mars", ["pruning={kind: halving}", "steps=[]"])
    assert before.to_dict().keys() == {"domains", "control", "sampler"}, "as it was ever stored"
    assert load_space("mars").to_dict()["pruning"] == {"kind": "model", "below": 0.05}
    assert json.loads(json.dumps(load_space("recipes").to_dict()))["recipes"] == ["all"]
    assert load_space("one-epoch").to_dict()["pruning"] == {"kind": "top_k", "epoch": 1, "keep": 5}


BACKGROUND = {"B24", "C0", "E0"}  # rows of systems that learnt label 0; of C0's three steps, two
COURSE = {"ignore": "none", "scored": (1, 2, 3, 4)}


def test_all_leaves_out_systems_that_took_the_ignored_label_otherwise_and_says_so(
    tmp_path: Path,
) -> None:
    usual = prepared(tmp_path, recipes="all", trials=100)
    learning = prepared(tmp_path, recipes="all", trials=100, frames=DataOptions(**COURSE))

    def rows(made: Prepared) -> set[str]:
        return {name.partition("-")[0] for name in made.spec.recipes}

    assert rows(learning) == BACKGROUND
    assert len(learning.spec.recipes) == 6
    assert rows(usual) == {each.row for each in load_recipes()} - {"B24", "E0"}
    assert "C0-unet-weighted-background-out" in usual.spec.recipes
    assert {*usual.spec.recipes, *learning.spec.recipes} == {each.name for each in load_recipes()}
    (line,) = [line for line in usual.findings if line.startswith("left out")]
    assert (
        "their systems learnt the ignored label, too: --ignore none, with the other labels in "
        "--scored" in line
    )
    assert "B24-unet-mobilenetv2-focal-repeated-background" in line
    (line,) = [line for line in learning.findings if line.startswith("left out")]
    assert "A1-convolution" in line
    assert " more" in line


def test_by_name_such_a_system_trains_as_the_study_does_and_a_line_says_so(tmp_path: Path) -> None:
    made = prepared(tmp_path, recipes="A1,C0")
    assert made.spec.recipes == (
        "A1-convolution",
        "C0-unet",
        "C0-unet-weighted",
        "C0-unet-weighted-background-out",
    )
    (line,) = [line for line in made.findings if line.startswith("trained otherwise than reported")]
    assert line.endswith(": C0-unet, C0-unet-weighted")
    # all five labels are scored
    everything = prepared(tmp_path, recipes="A1,C0", frames=DataOptions(ignore="none"))
    assert not [line for line in everything.findings if "otherwise" in line]


ROOT = Path(__file__).parents[3]


def test_the_documents_count_the_recipes_and_tell_every_one_with_its_note() -> None:
    readme, document = ((ROOT / name).read_text() for name in ("README.md", "docs/recipes.md"))
    assert f"{len(load_recipes())} systems of five course reports ship as recipes" in readme
    assert f"{len(load_recipes())} of their\nsystems ship as recipes" in document
    for each in load_recipes():
        assert (
            f"| {each.name} | {shown_reported(each.reported)} | {each.note} |"
            in document.splitlines()
        )
    for each in load_ensembles():
        members = ", ".join(member.name for member in each.members)
        assert (
            f"| {each.name} | {shown_reported(each.reported)} | {members} |"
            in document.splitlines()
        )
