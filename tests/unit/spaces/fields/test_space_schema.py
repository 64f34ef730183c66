"""The config's types as leaves: paths, variants, defaults and bounds."""

import pytest

from objectives.config import (
    FILLED_IN,
    LOSS_TERMS,
    SGD,
    Config,
    GivenClassWeights,
    Loss,
    Plateau,
    SecondPhase,
    Smp,
    UNet,
)
from objectives.errors import ProblemsError
from spaces.fields.schema import build, flatten, leaves, leaves_by_path


def test_leaves_hold_every_field_of_the_network() -> None:
    paths = {leaf.path for leaf in leaves()}

    varied = {name for name, info in UNet.model_fields.items() if FILLED_IN not in info.metadata}
    assert varied == UNet.model_fields.keys() - {"start"}
    assert {f"model.{name}" for name in varied} <= paths


def test_later_fields_come_last_so_that_earlier_ones_are_drawn_in_the_same_order() -> None:
    sections: dict[str, list[bool]] = {}
    for leaf in leaves():
        sections.setdefault(leaf.own_path.rpartition(".")[0], []).append(leaf.is_later)

    assert any(any(later) for later in sections.values())
    assert all(later == sorted(later) for later in sections.values())


def test_a_shared_path_means_one_leaf_per_variant() -> None:
    rates = {leaf.own_path: leaf.default for leaf in leaves_by_path()["optimiser.learning_rate"]}

    assert rates == {
        "optimiser.adamw.learning_rate": 2e-3,
        "optimiser.adam.learning_rate": 2e-3,
        "optimiser.sgd.learning_rate": 5e-2,
        "optimiser.lion.learning_rate": 3e-4,
    }
    (sgd_rate,) = leaves_by_path()["optimiser.sgd.learning_rate"]
    assert sgd_rate.when == (("optimiser.kind", "sgd"),)


def test_no_path_of_a_variant_is_also_a_path_of_a_field() -> None:
    shared = {leaf.path for leaf in leaves()}

    assert not shared & {leaf.own_path for leaf in leaves() if leaf.own_path != leaf.path}


def test_a_kind_comes_before_the_fields_that_it_decides() -> None:
    order = [leaf.path for leaf in leaves()]

    assert all(
        order.index(kind_path) < order.index(leaf.path)
        for leaf in leaves()
        for kind_path, _ in leaf.when
    )


def test_the_shares_are_the_terms_of_both_mixtures_and_nothing_else() -> None:
    shares = [leaf.path for leaf in leaves() if leaf.is_share]

    assert shares == [
        f"{section}.{term}" for section in ("loss", "second_loss") for term in LOSS_TERMS
    ]


def test_a_field_without_default_is_known_as_such() -> None:
    assert [leaf.path for leaf in leaves() if leaf.default is None] == ["loss.class_weights.values"]


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(optimiser=SGD(momentum=0.5), schedule=Plateau(patience=3)),
        Config(
            loss=Loss(
                cross_entropy=0.25,
                focal=0.75,
                class_weights=GivenClassWeights(values=(0.0, 1.0, 2.5)),
            )
        ),
        Config(
            model=Smp(encoder="vgg16"),
            second_loss=SecondPhase(cross_entropy=0.5, boundary=0.5, start=0.25),
        ),
    ],
)
def test_build_inverts_flatten(config: Config) -> None:
    assert build(flatten(config)) == config


def test_build_refuses_values_that_do_not_go_together() -> None:
    with pytest.raises(ProblemsError, match="must add up to 1"):
        build({"loss.cross_entropy": 0.5, "loss.dice": 0.2})


CROP_FORM = "must be HxW, height and width in pixels like 256x256, or none"


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("model.depth", 9, "must be less than or equal to 5"),
        ("model.depth", 3.5, "must be a valid integer"),
        ("model.depth", True, "must be a valid integer"),
        ("model.depth", "3", "must be a valid integer"),
        ("model.kernel_size", 4, "must be 3, 5 or 7"),
        *(("train.crop", each, CROP_FORM) for each in ("5", 5, "0x8", "8 x 8", "256X256", "")),
        ("augment.flip", 1, "must be a valid boolean"),
        ("augment.intensity", float("inf"), "must be a finite number"),
        ("loss.class_weights.values", (1.0, -1.0), "must be greater than or equal to 0"),
        ("optimiser.kind", "adagrad", "must be 'adamw', 'adam', 'sgd' or 'lion'"),
    ],
)
def test_a_leaf_names_the_rule_of_the_config(path: str, value: object, rule: str) -> None:
    leaf = leaves_by_path()[path][0]

    assert leaf.broken_rule(value) == rule


def test_a_leaf_types_a_value_as_the_config_does() -> None:
    (intensity,) = leaves_by_path()["augment.intensity"]

    assert intensity.broken_rule(1) is None
    assert isinstance(intensity.accept(1), float)
