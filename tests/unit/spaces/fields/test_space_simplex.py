"""The loss weights: fixed members, free members, what is drawn and what cannot be."""

from collections.abc import Mapping

import pytest

from objectives.config import LOSS_TERMS, SecondPhase
from objectives.errors import ProblemsError
from spaces import FromParams, Space, load_space
from spaces.domains import Fixed

CE, FOCAL, DICE = "loss.cross_entropy", "loss.focal", "loss.dice"


OTHERS = tuple(f"loss.{term}" for term in LOSS_TERMS if f"loss.{term}" not in (CE, FOCAL, DICE))


def space_with(entries: Mapping[str, str]) -> Space:
    """`mars` with three terms and these entries."""
    return load_space(
        "mars",
        [
            *(f"{path}=0" for path in OTHERS),
            *(f"{path}={value}" for path, value in entries.items()),
        ],
    )


def weights(space: Space, params: Mapping[str, object]) -> tuple[float, float, float]:
    loss = space.draw(FromParams({**space.control, "loss.focal_gamma": 2.0, **params})).loss
    return loss.cross_entropy, loss.focal, loss.dice


def test_free_terms_share_in_proportion() -> None:
    space = load_space("mars")
    params = {f"{CE}.on": True, f"{FOCAL}.on": True, f"{DICE}.on": True}

    shares = weights(
        space, {**params, f"{CE}.weight": 1.0, f"{FOCAL}.weight": 0.5, f"{DICE}.weight": 0.5}
    )

    assert shares == pytest.approx((0.5, 0.25, 0.25))


def test_a_single_active_term_takes_all_and_draws_no_weight() -> None:
    params = {
        **load_space("mars").control,
        f"{CE}.on": False,
        f"{FOCAL}.on": False,
        f"{DICE}.on": True,
    }
    drawn_names = {name: value for name, value in params.items() if not name.endswith(".weight")}

    loss = load_space("mars").draw(FromParams(drawn_names)).loss

    assert (loss.cross_entropy, loss.focal, loss.dice) == (0.0, 0.0, 1.0)


def test_the_first_free_term_takes_what_is_left_when_all_are_off() -> None:
    space = space_with({CE: "0.4"})

    assert weights(space, {f"{FOCAL}.on": False, f"{DICE}.on": False}) == pytest.approx(
        (0.4, 0.6, 0.0)
    )


def test_a_fixed_member_keeps_its_value() -> None:
    space = space_with({FOCAL: "0.8"})
    params = {f"{CE}.on": True, f"{DICE}.on": True, f"{CE}.weight": 0.3, f"{DICE}.weight": 0.9}

    assert weights(space, params) == pytest.approx((0.05, 0.8, 0.15))


def test_terms_that_are_no_longer_free_are_not_drawn() -> None:
    everything = space_with({CE: "1"})
    one_free = space_with({CE: "0.7", FOCAL: "0"})

    assert everything.domains[DICE] == everything.domains[FOCAL] == Fixed(0.0)
    assert one_free.domains[DICE] == Fixed(0.3)
    assert not any(name.startswith(DICE) for name in one_free.control)


def test_focal_gamma_is_drawn_only_while_focal_is_on() -> None:
    space = load_space("mars")

    without = space.draw(FromParams({**space.control, f"{FOCAL}.on": False}))
    with pytest.raises(
        ProblemsError, match=r"loss\.focal_gamma: must be among the stored parameters"
    ):
        space.draw(FromParams({**space.control, f"{FOCAL}.on": True, f"{FOCAL}.weight": 0.5}))

    assert without.loss.focal == 0.0
    assert space_with({FOCAL: "0"}).domains["loss.focal_gamma"] == Fixed(2.0)


@pytest.mark.parametrize(
    ("entries", "where", "rule"),
    [
        ({CE: "0.7", DICE: "0.7"}, "loss", "at most 1"),
        ({CE: "0.2", DICE: "0.2", FOCAL: "0.2"}, "loss", "add up to 1 or leave one term free"),
        ({CE: "1", DICE: "{weight: always}"}, DICE, "needs a share"),
        ({CE: "1", DICE: "{weight: optional}"}, DICE, "needs a share"),
        ({CE: "{float: [0, 1]}"}, CE, "must be {weight: optional}"),
        ({CE: "1.5"}, CE, "must be less than or equal to 1"),
        ({"model.dropout": "{weight: always}"}, "model.dropout", "must not be a weight"),
        ({FOCAL: "0", "loss.focal_gamma": "{float: [1, 3]}"}, "loss.focal_gamma", "never reads it"),
    ],
)
def test_refuses_weights_that_cannot_add_up(
    entries: Mapping[str, str], where: str, rule: str
) -> None:
    with pytest.raises(ProblemsError) as caught:
        space_with(entries)

    (problem,) = caught.value.problems
    assert problem.where == where
    assert rule in problem.rule


def test_encode_names_a_weight_that_cannot_be_drawn() -> None:
    space = space_with({FOCAL: "0.2"})
    config = space.default()
    fixed_elsewhere = config.model_copy(
        update={"loss": config.loss.model_copy(update={"focal": 0.3, "dice": 0.14})}
    )
    too_small = config.model_copy(
        update={
            "loss": config.loss.model_copy(
                update={"cross_entropy": 0.79, "focal": 0.2, "dice": 0.01}
            )
        }
    )

    with pytest.raises(
        ProblemsError, match=r"loss\.focal: is fixed at 0\.2 in this space, got 0\.3"
    ):
        space.encode(fixed_elsewhere)
    with pytest.raises(
        ProblemsError, match=r"loss\.dice: must be 0 or at least 0\.05 times .*, got 0\.01"
    ):
        space.encode(too_small)


def test_each_mixture_has_a_simplex_of_its_own() -> None:
    space = load_space(
        "mars",
        [
            "second_loss.kind=mixture",
            "second_loss.boundary=0.25",
            "second_loss.mixture.dice=0.75",
            f"{CE}=1",
        ],
    )
    config = space.default()

    assert config.loss.cross_entropy == 1.0
    assert isinstance(config.second_loss, SecondPhase)
    assert (config.second_loss.boundary, config.second_loss.dice) == (0.25, 0.75)
    assert not any(name.endswith((".on", ".weight")) for name in space.control)


def test_a_second_mixture_is_drawn_only_where_there_is_one() -> None:
    space = load_space("mars")
    second = {f"second_loss.{term}.on": term in ("dice", "tversky") for term in LOSS_TERMS}
    second |= {"second_loss.dice.weight": 1.0, "second_loss.tversky.weight": 0.25}
    parameters = {"second_loss.tversky_alpha": 0.7, "second_loss.start": 0.5}
    config = space.draw(
        FromParams({**space.control, "second_loss.kind": "mixture", **second, **parameters})
    )

    assert isinstance(config.second_loss, SecondPhase)
    assert (config.second_loss.dice, config.second_loss.tversky) == pytest.approx((0.8, 0.2))
    assert config.second_loss.tversky_alpha == 0.7
    assert not any(
        name.startswith("second_loss.") for name in space.control.keys() - {"second_loss.kind"}
    )


def test_a_second_mixture_that_cannot_add_up_is_told_under_its_own_name() -> None:
    with pytest.raises(
        ProblemsError, match=r"second_loss: the fixed weights of its terms must add up to at most 1"
    ):
        load_space("mars", ["second_loss.dice=0.7", "second_loss.boundary=0.7"])
    with pytest.raises(
        ProblemsError, match=r"second_loss\.dice: exists only where second_loss\.kind is mixture"
    ):
        load_space("small", ["second_loss.dice={weight: optional}"])
    with pytest.raises(ProblemsError, match=r"second_loss\.dice: must be given once"):
        load_space("mars", ["second_loss.dice=0.7", "second_loss.mixture.dice=0.7"])
