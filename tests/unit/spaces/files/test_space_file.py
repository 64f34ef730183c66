"""Reading a space: presets, files, overrides, and every problem at once."""

from pathlib import Path

import pytest

from objectives.config import Config
from objectives.errors import ProblemsError, UserError
from spaces import FromParams, Space, load_space, load_stored_space, preset_names
from spaces.domains import Choice, Fixed, Float, Int
from spaces.pruning import NoPruning, TopK
from spaces.sampler import Sampler
from spaces.yaml_text import read_yaml


def load_text(folder: Path, text: str, *overrides: str) -> Space:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_space(str(file), overrides)


def problems_of(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        load_text(folder, text, *overrides)
    return [str(problem) for problem in caught.value.problems]


def test_a_file_extends_a_preset_by_field_path(tmp_path: Path) -> None:
    text = """
extends: small
model: {depth: {int: [3, 5]}, norm: group}
optimiser:
  learning_rate: {float: [1e-4, 1e-2], log: true}
"""
    space = load_text(tmp_path, text)

    assert space.domains["model.depth"] == Int(3, 5)
    assert space.domains["optimiser.learning_rate"] == Float(1e-4, 1e-2, log=True)
    assert space.domains["model.norm"] == Fixed("group")
    assert space.domains["model.up"] == load_space("small").domains["model.up"]


def test_overrides_win_over_the_file_and_the_last_over_the_first(tmp_path: Path) -> None:
    space = load_text(
        tmp_path,
        "extends: small\nmodel.depth: 4\n",
        "model.depth={int: [2, 3]}",
        "model.depth = 2",
        "train.epochs=3",
    )

    assert space.domains["model.depth"] == Fixed(2)
    assert space.default().train.epochs == 3


def test_an_empty_file_is_the_default_config(tmp_path: Path) -> None:
    space = load_text(tmp_path, "# nothing varies\nmodel:\n")

    assert space.default() == Config()
    assert space.control == {}


def test_integers_are_numbers_in_float_fields(tmp_path: Path) -> None:
    space = load_text(tmp_path, "train.scale: 1\ntrain.ema: {choice: [0, 0.9]}\n")

    assert repr(space.domains["train.scale"]) == "Fixed(value=1.0)"
    assert repr(space.domains["train.ema"]) == repr(Choice((0.0, 0.9)))


def test_a_file_reports_every_problem_at_once(tmp_path: Path) -> None:
    text = """
extends: small
modle.depth: 3
depth: 3
model.depth: {int: [2, 9]}
model.kernel_size: {choice: [3, 4]}
model.norm: {int: [0, 1]}
model.dropout: {float: [0.5, 0.1]}
model: 3
augment: {flip: 1}
train.epochs: {int: [10, 20]}
train.steps_per_epoch: {choice: [0, 10]}
schedule.patience: 3
optimiser.learning_rate: {float: [0, 1.0e-2], log: true}
control.model.up: diagonal
"""
    assert problems_of(tmp_path, text) == [
        "modle.depth: must be a field of the config (did you mean model.depth?), got 3",
        "depth: must be a field of the config (did you mean model.depth?), got 3",
        'model.dropout: low must not exceed high (low=0.5, high=0.1), got {"float": [0.5, 0.1]}',
        "model: is a section, give its fields (model.kind, model.depth, model.base_filters, ...), "
        "got 3",
        "train.epochs: must be a plain value, since it is the same for all trials of a study, got "
        '{"int": [10, 20]}',
        "train.steps_per_epoch: must be a plain value, since it is the same for all trials of a "
        'study, got {"choice": [0, 10]}',
        'optimiser.learning_rate: log needs a low above 0 (low=0), got {"float": [0, 0.01], "log": '
        "true}",
        "model.depth: must be less than or equal to 5, got 9",
        "model.kernel_size: must be 3, 5 or 7, got 4",
        "model.norm: must not be a range of int, since its type is a choice, got 0 .. 1",
        "augment.flip: must be a valid boolean, got 1",
        "schedule.patience: exists only where schedule.kind is plateau, which this space excludes, "
        "got 3",
        "control.model.up: must be 'transpose', 'bilinear' or 'nearest', got diagonal",
    ]


def test_what_a_broken_field_of_one_kind_hides_is_judged_too(tmp_path: Path) -> None:
    text = "extends: mars\n" + "".join(
        f"loss.class_weights.{kind}power: []\n" for kind in ("", "inverse_frequency.")
    )
    assert problems_of(tmp_path, text) == [
        "loss.class_weights.inverse_frequency.power: must be a valid number, got []",
        "loss.class_weights.power: must be a valid number, got []",
    ]


@pytest.mark.parametrize(
    ("text", "where", "rule"),
    [
        ("model.depth: [3\n", "mine.yaml, line 2", "must be valid YAML"),
        ("model.depth: 3\n\tmodel.norm: x\n", "mine.yaml, line 2", "must be valid YAML"),
        ("model.depth: 3\nmodel.depth: 4\n", "mine.yaml, line 2", "must appear once"),
        ("model: {depth: 3}\nmodel.depth: 4\n", "model.depth", "must be given once"),
        ("a: &x 1\nb: *x\n", "mine.yaml, line 2", "valid YAML, got an alias"),
        ("model.depth: !!int 3\n", "mine.yaml, line 1", "must carry no tag"),
        ("? [a, b]\n: 3\n", "mine.yaml, line 1", "a key must be a name"),
        ("- 1\n", "mine.yaml", "must hold field paths"),
        ("just words\n", "mine.yaml", "must hold field paths"),
        ("a: \x07\n", "mine.yaml", "must be text that YAML allows"),
        ("[" * 5000, "mine.yaml", "nested that deeply"),
        ("extends: smal\n", "extends", "must be a preset (mars, one-epoch, recipes, small, tiny)"),
        ("extends: [small]\n", "extends", "must be a preset"),
        (
            "loss.class_weights.kind: given\n",
            "loss.class_weights.values",
            "must be given, since loss.class_weights.kind may be",
        ),
        ("optimiser.learning_rate: 5.0\n", "optimiser.learning_rate", "less than or equal to 1"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, text: str, where: str, rule: str) -> None:
    (problem,) = problems_of(tmp_path, text)

    assert where in problem
    assert rule in problem


def test_a_shared_bound_is_that_of_the_variants_in_the_space(tmp_path: Path) -> None:
    assert (
        load_text(tmp_path, "optimiser.kind: sgd\noptimiser.learning_rate: 5.0\n")
        .default()
        .optimiser.learning_rate
        == 5.0
    )


def test_an_unknown_kind_is_one_problem_and_not_one_per_field(tmp_path: Path) -> None:
    text = "optimiser.kind: {choice: [adamw, adagrad]}\noptimiser.momentum: {float: [0.5, 0.9]}\n"

    assert problems_of(tmp_path, text) == [
        "optimiser.kind: must be 'adamw', 'adam', 'sgd' or 'lion', got adagrad"
    ]


@pytest.mark.parametrize("override", ["model.depth", "=3", ""])
def test_an_override_without_field_or_value_is_refused(override: str) -> None:
    with pytest.raises(ProblemsError, match="must be FIELD=VALUE"):
        load_space("small", [override])


def test_an_override_with_broken_yaml_names_its_field() -> None:
    with pytest.raises(ProblemsError, match=r"--set model\.depth, line 1: must be valid YAML"):
        load_space("small", ["model.depth={int: [2, 3"])


def test_a_missing_or_unreadable_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")

    with pytest.raises(
        UserError,
        match=r"no space named smal: give a preset \(mars, one-epoch, recipes, small, tiny\)",
    ):
        load_space("smal")
    with pytest.raises(UserError, match="cannot be read"):
        load_space(str(tmp_path))
    with pytest.raises(UserError, match="UTF-8"):
        load_space(str(tmp_path / "binary.yaml"))
    with pytest.raises(UserError, match="cannot be read"):
        load_space("a\0b")
    with pytest.raises(UserError, match="cannot be read"):
        load_space("x" * 5000)


def test_yaml_scalars_have_no_surprises() -> None:
    text = (
        "{a: 1e-4, b: no, c: on, d: 010, e: 1.5, f: '3', g: true, h: ~, i: 2024-01-01, j: "
        "1:30, "
        "k: .5, l: 1e999}"
    )
    tree, problems = read_yaml(text, "text")

    assert problems == []
    numbers = {"a": 1e-4, "d": 10, "e": 1.5, "k": 0.5, "l": float("inf")}
    words = {"b": "no", "c": "on", "f": "3", "i": "2024-01-01", "j": "1:30"}
    assert tree == numbers | words | {"g": True, "h": None}


def test_preset_names() -> None:
    assert preset_names() == ("mars", "one-epoch", "recipes", "small", "tiny")


def test_a_later_layer_decides_pruning_and_recipes(tmp_path: Path) -> None:
    below = "extends: recipes\n"

    assert load_text(tmp_path, below).pruning == NoPruning()
    assert load_text(tmp_path, below).recipes == ("all",)
    changed = load_text(
        tmp_path, f"{below}pruning: {{kind: top_k, keep: 3}}\nrecipes: [a5, C1-unet-scag]\n"
    )
    assert changed.pruning == TopK(epoch=1, keep=3)
    assert changed.recipes == ("a5", "C1-unet-scag")
    assert load_text(tmp_path, below, "pruning={kind: model}", "recipes=[]") == load_space("mars")
    assert load_text(tmp_path, "extends: one-epoch\n").pruning == TopK(epoch=1, keep=5)


def test_a_file_may_say_who_draws(tmp_path: Path) -> None:
    assert load_space("small").sampler is Sampler.MODEL
    drawn = load_text(tmp_path, "extends: small\nsampler: random\n")
    assert drawn.sampler is Sampler.RANDOM
    assert load_stored_space(drawn.to_dict()) == drawn
    assert drawn.fingerprint != load_space("small").fingerprint
    assert load_text(tmp_path, "extends: small\nsampler: random\n", "sampler=model") == load_space(
        "small"
    )


def test_a_stored_space_that_says_nothing_is_drawn_by_tpe() -> None:
    stored = load_space("small", ["sampler=tpe"]).to_dict()
    assert "sampler" not in stored  # as before there was a choice
    assert load_stored_space(stored).sampler is Sampler.TPE
    assert load_stored_space(load_space("small").to_dict()).sampler is Sampler.MODEL


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "pruning: none\n",
            "pruning: must be {kind: halving}, {kind: model, below: 0.05}, {kind: none} or {kind: top_k, epoch: 1, keep: 5}, "
            "got none",
        ),
        (
            "pruning: {kind: half}\n",
            "pruning: must be {kind: halving}, {kind: model, below: 0.05}, {kind: none} or {kind: top_k, epoch: 1, keep: 5}, "
            "got",
        ),
        (
            "pruning: {kind: top_k, keep: 0}\n",
            "pruning.keep: must be greater than or equal to 1, got 0",
        ),
        ("pruning: {kind: top_k, keep: 2.0}\n", "pruning.keep: must be a valid integer, got 2.0"),
        ("pruning: {kind: none, keep: 2}\n", "pruning.keep: is no field of this kind, got 2"),
        (
            "pruning: {kind: top_k, epoch: 30}\ntrain.epochs: 30\n",
            "pruning.epoch: must be below train.epochs (30), or nothing is pruned, got 30",
        ),
        ("sampler: gp\n", "sampler: must be model, tpe, random, got gp"),
        ("sampler: [tpe]\n", "sampler: must be model, tpe, random, got"),
        ("recipes: A5\n", "recipes: must be all, or a list like [A5, C1], got A5"),
        ("recipes: [A5, 3]\n", 'recipes: must be all, or a list like [A5, C1], got ["A5", 3]'),
        (
            "recipes: [A5, D44]\n",
            "recipes: no recipe d44: did you mean D4-unet-dilated-weighted-regularised?, got",
        ),
    ],
)
def test_broken_pruning_and_recipes_are_told(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems_of(tmp_path, f"extends: small\n{text}")

    assert found.startswith(problem)


STEPS = """
extends: small
steps:
  - train.batch_size: 16
  - {model: {block: plain}, augment.intensity: 0.3}
  - loss: {cross_entropy: 1}
"""


def test_steps_are_the_control_with_what_they_change(tmp_path: Path) -> None:
    space = load_text(tmp_path, STEPS)
    batch, block, loss = (space.draw(FromParams(step)) for step in space.steps)
    control = space.default()

    assert batch == control.model_copy(
        update={"train": control.train.model_copy(update={"batch_size": 16})}
    )
    assert (block.model.block, block.augment.intensity, block.train) == (
        "plain",
        0.3,
        control.train,
    )
    assert (loss.loss.cross_entropy, loss.loss.dice) == (1.0, 0.0), "a mixture is given whole"
    assert load_stored_space(space.to_dict()) == space
    assert load_text(tmp_path, "extends: small\nsteps: []").fingerprint != space.fingerprint


def test_steps_that_lie_outside_a_narrower_space_are_left_out(tmp_path: Path) -> None:
    narrowed = load_text(tmp_path, STEPS, "train.batch_size=16", "control.augment.intensity=0.3")
    block, loss = (narrowed.draw(FromParams(step)) for step in narrowed.steps)

    assert narrowed.default().train.batch_size == 16
    assert (block.model.block, loss.loss.dice) == ("plain", 0.0)
    assert load_text(tmp_path, STEPS, "steps=[]").steps == ()
    assert len(load_text(tmp_path, STEPS, "steps=[{augment.elastic: true}]").steps) == 1


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("8", "steps: must be a list of what steps change of the control, like [{train.batch_size: 8}]"),
        ("[8]", "steps[1]: must be a list of what steps change"),
        ("[{train.batch_size: 16}, {}]", "steps[2]: must be a list"),
        ("[{train.bath_size: 8}]", "steps[1].train.bath_size: must be a field of the config (did you mean train.batch_size?)"),
        ("[{train.batch_size: 16}, {train.batch_size: {int: [8, 9]}}]", "steps[2].train.batch_size: must be a plain value"),
        ("[{train.batch_size: 0}]", "steps[1].train.batch_size: must be"),
        ("[{model.dropout: 0.4}]", "steps[1].model.dropout: must lie in the space (model.dropout: "),
        ("[{train.epochs: 3}]", "steps[1].train.epochs: must lie in the space"),
        ("[{loss.dice: 0.4}]", "may be off), and a mixture's terms are given whole, with a sum of 1"),
        ("[{model.depth: 3}]", "steps[1]: must differ from the control"),
        ("[{model.depth: 4}, {model.depth: 4}]", "steps[2]: must differ from step 1"),
    ],
)  # fmt: skip
def test_a_step_of_ones_own_that_is_none_is_refused(
    tmp_path: Path, steps: str, problem: str
) -> None:
    (found,) = problems_of(tmp_path, f"extends: small\nsteps: {steps}")
    assert problem in found
