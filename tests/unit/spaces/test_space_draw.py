"""Drawing, encoding, the control, the fingerprint and the stored form of a space."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from objectives.config import SGD, AdamW, Config, GivenClassWeights
from objectives.errors import ProblemsError
from spaces import FromParams, ValueSource, load_space, load_stored_space
from spaces.domains import Fixed
from spaces.values import Scalar


class First:
    """Answers every question with its first value, and keeps the names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def int(
        self, name: str, low: "int", high: "int", *, step: "int" = 1, log: bool = False
    ) -> "int":  # type: ignore[valid-type]
        self.names.append(name)
        return low

    def float(self, name: str, low: "float", high: "float", *, log: bool = False) -> "float":  # type: ignore[valid-type]
        self.names.append(name)
        return low

    def choice(self, name: str, options: Sequence[Scalar]) -> Scalar:
        self.names.append(name)
        return options[0]


PINNED = (  # the numbers of the preset may be tuned; these tests are not about them
    "model.depth={int: [2, 4]}",
    "model.base_filters={choice: [8, 12, 16, 24]}",
    "model.dropout={float: [0, 0.3]}",
    "optimiser.learning_rate={float: [1e-3, 1e-2], log: true}",
    "optimiser.weight_decay={float: [1e-3, 0.1], log: true}",
    "train.batch_size={choice: [16, 32, 64]}",
    "augment.elastic={choice: [false, true]}",
)


def test_only_the_chosen_variant_is_drawn() -> None:
    first = First()
    source: ValueSource = first
    config = load_space("mars").draw(source)

    assert isinstance(config.optimiser, AdamW)
    assert "optimiser.adamw.weight_decay" in first.names
    assert not [
        name
        for name in first.names
        if "sgd" in name or name in ("optimiser.momentum", "loss.class_weights.power")
    ]
    assert len(first.names) == len(set(first.names))


def test_fixed_fields_ask_nothing_and_keep_their_value() -> None:
    first = First()
    space = load_space("mars", ["model.depth=4", "optimiser.kind=sgd", "optimiser.momentum=0.5"])
    config = space.draw(first)

    assert config.model.depth == 4
    assert isinstance(config.optimiser, SGD)
    assert config.optimiser.momentum == 0.5
    assert not {"model.depth", "optimiser.kind", "optimiser.momentum"} & set(first.names)


def test_a_variants_own_domain_wins_over_a_shared_one() -> None:
    space = load_space("mars")
    adamw = space.control
    sgd = {
        **adamw,
        "optimiser.kind": "sgd",
        "optimiser.sgd.learning_rate": 0.3,
        "optimiser.sgd.weight_decay": 1e-4,
    }

    assert space.draw(FromParams({**sgd, "optimiser.momentum": 0.9})).optimiser.learning_rate == 0.3
    assert space.draw(FromParams(adamw)).optimiser.learning_rate == adamw["optimiser.learning_rate"]


def test_a_later_shared_domain_replaces_a_variants_own() -> None:
    space = load_space("mars", ["optimiser.learning_rate=0.004"])

    assert space.domains["optimiser.learning_rate"] == Fixed(0.004)
    assert "optimiser.sgd.learning_rate" not in space.domains


def test_unnamed_fields_keep_their_variants_defaults(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("schedule.kind: {choice: [one_cycle, cosine]}")
    space = load_space(str(tmp_path / "mine.yaml"))

    assert space.domains["schedule.cosine.warmup"] == Fixed(0.05)
    assert space.domains["schedule.one_cycle.warmup"] == Fixed(0.3)
    assert space.domains["model.growth"] == Fixed(2.0)


def test_list_options_are_drawn_as_json() -> None:
    given = [
        "loss.class_weights.kind=given",
        "loss.class_weights.values={choice: [[1, 1], [1, 2]]}",
    ]
    space = load_space("small", given)
    config = space.draw(FromParams({**space.control, "loss.class_weights.values": "[1.0, 2.0]"}))

    assert config.loss.class_weights == GivenClassWeights(values=(1.0, 2.0))
    assert space.encode(config)["loss.class_weights.values"] == "[1.0, 2.0]"
    assert load_stored_space(json.loads(json.dumps(space.to_dict()))) == space


def test_encode_names_every_path_outside() -> None:
    space = load_space("small", PINNED)
    config = space.default()
    outside = Config(
        model=config.model.model_copy(update={"depth": 5, "norm": "group"}),
        loss=config.loss,
        augment=config.augment,
        optimiser=SGD(),
        schedule=config.schedule,
        train=config.train.model_copy(update={"batch_size": 48}),
    )

    with pytest.raises(ProblemsError) as caught:
        space.encode(outside)

    assert [str(problem) for problem in caught.value.problems] == [
        "model.depth: must lie in 2 .. 4, got 5",
        "model.norm: is fixed at batch in this space, got group",
        "optimiser.kind: is fixed at adamw in this space, got sgd",
        "optimiser.learning_rate: must lie in 0.001 .. 0.01, log, got 0.05",
        "optimiser.weight_decay: must lie in 0.001 .. 0.1, log, got 0.0001",
        "train.batch_size: must lie in 16 | 32 | 64, got 48",
    ]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"model.depth": None}, "model.depth: must be a whole number, got null"),
        ({"model.depth": 9}, "model.depth: must lie in 2 .. 4, got 9"),
        ({"model.depth": True}, "model.depth: must be a whole number, got true"),
        ({"model.dropout": "0.1"}, "model.dropout: must be a number, got 0.1"),
        ({"model.dropout": float("nan")}, "model.dropout: must lie in 0 .. 0.3, got NaN"),
        ({"model.base_filters": 9}, "model.base_filters: must be one of 8, 12, 16, 24, got 9"),
        ({"augment.elastic": 1}, "augment.elastic: must be one of false, true, got 1"),
    ],
)
def test_stored_parameters_that_do_not_fit_are_named(changed: dict[str, object], rule: str) -> None:
    space = load_space("small", PINNED)

    with pytest.raises(ProblemsError) as caught:
        space.draw(FromParams({**space.control, **changed}))

    assert [str(problem) for problem in caught.value.problems] == [rule]


def test_a_step_is_checked_when_rebuilding() -> None:
    with pytest.raises(ProblemsError, match=r"must lie in 2 \.\. 8 in steps of 3, got 4"):
        FromParams({"n": 4}).int("n", 2, 8, step=3)


def test_the_control_moves_to_the_nearest_allowed_value() -> None:
    base = load_space("small").default()
    narrowed = load_space(
        "small",
        ["model.depth={int: [4, 5]}", "model.base_filters={choice: [20, 100]}", "loss.focal=0.8"],
    )
    control = narrowed.default()

    assert base.model.depth < 4
    assert (control.model.depth, control.model.base_filters) == (4, 20)
    total = base.loss.cross_entropy + base.loss.dice
    assert control.loss.cross_entropy == pytest.approx(0.2 * base.loss.cross_entropy / total)
    assert control.loss.dice == pytest.approx(0.2 * base.loss.dice / total)


def test_a_control_of_another_variant_takes_that_variants_defaults() -> None:
    assert load_space("mars", ["optimiser.kind=sgd"]).default().optimiser == SGD()


def test_the_control_may_be_changed_and_must_lie_inside() -> None:
    space = load_space(
        "small", [*PINNED, "control.model.depth=2", "control.loss={cross_entropy: 0.4, dice: 0.6}"]
    )

    assert space.default().model.depth == 2
    assert space.default().loss.dice == pytest.approx(0.6)
    with pytest.raises(ProblemsError) as caught:
        load_space(
            "small",
            [
                *PINNED,
                "control.model.depth=5",
                "control.optimiser.momentum=0.9",
                "control.loss.dice=0.9",
            ],
        )
    assert [problem.where for problem in caught.value.problems] == [
        "control.model.depth",
        "control.optimiser.momentum",
        "control.loss.dice",
    ]


def test_the_fingerprint_tells_spaces_apart_and_survives_storage() -> None:
    small, again, other = (
        load_space("small"),
        load_space("small"),
        load_space("small", ["model.depth=3"]),
    )

    assert small.fingerprint == again.fingerprint
    assert (
        small.fingerprint == load_stored_space(json.loads(json.dumps(small.to_dict()))).fingerprint
    )
    assert len({small.fingerprint, other.fingerprint, load_space("mars").fingerprint}) == 3
    pinned = [
        load_space("small", [*PINNED, f"control.model.depth={depth}"]).fingerprint
        for depth in (2, 3)
    ]
    assert pinned[0] != pinned[1]


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"domains": {}, "control": 3},
        {"domains": {"model.depth": {"int": [1, 99]}}, "control": {}},
        {"domains": {"model.width": 3}, "control": {}},
        {"domains": {"model.depth": {"int": [2, 4]}}, "control": {}},
        {"domains": {}, "control": {}, "more": 1},
    ],
)
def test_a_stored_space_that_does_not_fit_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ProblemsError):
        load_stored_space(stored)


def test_a_space_that_was_stored_before_a_field_existed_draws_what_it_drew() -> None:
    """The field has its default, which is what trainings did before; workers join a space of their
    own version only.
    """
    mars = load_space("mars")
    stored = json.loads(json.dumps(mars.to_dict()))
    del stored["domains"]["augment.shear"], stored["control"]["augment.shear"]
    before = load_stored_space(stored)

    assert before.domains["augment.shear"] == Fixed(True)
    # so its fingerprint is another, which is what workers compare
    assert before.to_dict() != stored
    assert before.default() == mars.default()
    assert before.default().augment.shear
    assert mars.draw(FromParams(mars.encode(before.default()))) == before.default()


def test_describe_tells_domain_and_condition_in_order() -> None:
    rows = {row.path: row for row in load_space("mars").describe()}

    assert list(rows)[:2] == ["model.kind", "model.depth"]
    assert rows["train.batch_size"].condition == ""
    assert rows["model.depth"].condition == "model.kind is unet or background_unet"
    assert rows["model.layers"].condition == "model.kind is double_unet"
    assert rows["model.heads"].condition == (
        "model.kind is nested_unet or double_unet, model.bottleneck is transformer (in nested_unet)"
    )
    assert (
        rows["model.attention"].condition
        == "model.kind is smp, model.decoder is unet or unetplusplus"
    )
    assert rows["loss.focal_gamma"].condition == "loss.focal > 0"
    assert (
        rows["second_loss.focal_gamma"].condition
        == "second_loss.kind is mixture, second_loss.focal > 0"
    )
    assert rows["augment.shear"].condition == "augment.intensity > 0, augment.geometry is true"
    assert rows["augment.copy_paste_edge"].condition == "augment.copy_paste > 0"
    assert rows["optimiser.learning_rate"].condition == "optimiser.kind is adamw or adam"
    assert rows["optimiser.momentum"].condition == "optimiser.kind is sgd"
