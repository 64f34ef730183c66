"""The first trials, the start-up and the rungs of a study."""

from collections.abc import Sequence
from statistics import mean

import optuna
import pytest
from optuna.trial import TrialState

from objectives.data.options import DataOptions
from search.posterior.ground import SpaceGround
from search.process.messages import Cause
from search.study.pruners import halving_rungs
from search.study.record import Notes
from search.study.sampling import (
    NEIGHBOUR_KEEPS,
    STEP,
    build_sampler,
    first_trials,
    startup_trials,
)
from search.study.spec import StudySpec
from spaces import FromParams, choose_recipes, load_space


def spec(
    trials: int,
    seed: int = 0,
    space: str = "small",
    recipes: tuple[str, ...] = (),
    sets: Sequence[str] = (),
) -> StudySpec:
    loaded = load_space(space, sets)
    return StudySpec(
        name="s", source="synthetic", frames=DataOptions(seed=seed), score="", data_fingerprint="",
        space=loaded.to_dict(), space_fingerprint=loaded.fingerprint, trials=trials, until_s=0.0, recipes=recipes,
    )  # fmt: skip


NO_STEPS = ("steps=[]",)


@pytest.mark.parametrize(
    ("trials", "startup", "first"), [(1, 4, 1), (4, 4, 2), (12, 4, 4), (20, 5, 5), (100, 10, 10)]
)
def test_small_budgets_start_near_the_control(trials: int, startup: int, first: int) -> None:
    assert startup_trials(spec(trials)) == startup
    assert len(first_trials(spec(trials, sets=NO_STEPS))) == first <= trials


def test_the_control_comes_first_and_its_neighbours_keep_most_of_it() -> None:
    control = dict(load_space("small").control)
    (params, notes), again, *neighbours = first_trials(spec(100, sets=NO_STEPS))
    assert params == control
    assert notes == Notes(recipe="control")
    assert again == (control, Notes(recipe="control again"))
    assert first_trials(spec(24, sets=NO_STEPS))[1] == again
    assert first_trials(spec(23, sets=NO_STEPS))[1].notes == neighbours[0].notes, (
        "a small budget has no run to spare"
    )
    assert all(neighbour.items() <= control.items() for neighbour, _ in neighbours)
    sizes = [
        len(params)
        for seed in range(10)
        for params, _ in first_trials(spec(100, seed=seed, sets=NO_STEPS))[2:]
    ]
    assert sum(sizes) / (len(sizes) * len(control)) == pytest.approx(NEIGHBOUR_KEEPS, abs=0.06)
    assert len({tuple(neighbour) for neighbour, _ in neighbours}) == len(neighbours)
    assert first_trials(spec(100, sets=NO_STEPS)) == first_trials(spec(100, sets=NO_STEPS))
    assert first_trials(spec(100, seed=1, sets=NO_STEPS)) != first_trials(spec(100, sets=NO_STEPS))


def test_recipes_follow_the_control_in_place_of_its_neighbours() -> None:
    space = load_space("mars")
    control, *others = first_trials(
        spec(20, space="mars", recipes=("A5-unet-ra", "D4-unet-dilated-weighted-regularised"))
    )

    assert control == (dict(space.control), Notes(recipe="control"))
    assert [notes.recipe for _, notes in others] == [
        "A5-unet-ra",
        "D4-unet-dilated-weighted-regularised",
    ]
    for (params, _), row in zip(others, ("A5", "D4"), strict=True):
        (recipe,) = choose_recipes(row)
        drawn = space.draw(FromParams(params))
        assert drawn.model == recipe.config.model
        assert drawn.train.epochs == space.default().train.epochs


def test_a_spec_with_recipes_survives_storage() -> None:
    named = spec(20, space="mars", recipes=("A5-unet-ra",))
    assert StudySpec.model_validate_json(named.model_dump_json()) == named != spec(20, space="mars")


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, (2,)),
        (2, (2,)),
        (4, (2,)),
        (8, (2,)),
        (12, (2, 6)),
        (27, (3, 9)),
        (36, (4, 12)),
        (48, (5, 15)),
        (90, (10, 30)),
    ],
)
def test_rungs_are_a_warm_up_and_its_triples_of_the_first_half(
    epochs: int, expected: tuple[int, ...]
) -> None:
    assert halving_rungs(epochs) == expected


BY_TPE = SpaceGround(load_space("tiny", ["sampler=tpe"]))


def test_a_sampler_depends_on_study_and_number_alone() -> None:
    samplers = [build_sampler(spec(20), BY_TPE, number) for number in (3, 3, 4)]
    draws = [sampler._rng.rng.randint(2**31) for sampler in samplers]
    assert draws[0] == draws[1] != draws[2]


COSTS = {16: 0, 32: 1, 64: 2}
SHARE_AT_RANDOM = 6 / 12  # of the pairs of depth and batch below


def infeasible_draws(seed: int, *, as_failed: bool, trials: int = 60) -> list[bool]:
    """Which draws of a study lie beyond a border that depth and batch make together; the score
    knows nothing of it.

    Those are told as the program tells them, pruned with their constraint, or as failed.
    """
    study, drawn = optuna.create_study(direction="maximize"), list[bool]()
    for number in range(trials):
        study.sampler = build_sampler(spec(trials, seed), BY_TPE, number)
        trial = study.ask()
        depth, batch = (
            trial.suggest_int("depth", 2, 5),
            trial.suggest_categorical("batch", tuple(COSTS)),
        )
        score = trial.suggest_float("rate", 0.0, 1.0)
        drawn.append(depth + COSTS[batch] >= 5)
        if not drawn[-1]:
            study.tell(trial, score)
        elif as_failed:
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_constraint(Cause.INFEASIBLE.value, 1.0)
            study.tell(trial, state=TrialState.PRUNED)
    return drawn


def test_tpe_learns_the_border_of_what_cannot_work() -> None:
    """Of failed trials it would learn nothing, and even draw more of them: they leave no trace
    where it has looked.
    """
    learnt, failed = (
        [mean(infeasible_draws(seed, as_failed=as_failed)[30:]) for seed in range(5)]
        for as_failed in (False, True)
    )

    assert mean(learnt) < 0.7 * SHARE_AT_RANDOM
    assert max(learnt) < SHARE_AT_RANDOM < min(failed)


def test_steps_follow_the_control_and_have_half_of_the_trials_at_most() -> None:
    sets = ["steps=[{model.depth: 4}, {augment.elastic: true}, {model.dropout: 0.05}]"]
    space = load_space("small", sets)
    assert len(space.steps) == 3

    def first(trials: int) -> list[str]:
        return [each.notes.recipe for each in first_trials(spec(trials, sets=sets))]

    assert first(1) == first(2) == ["control"]
    assert first(4) == ["control", STEP]
    assert first(8) == ["control", *[STEP] * 3]
    assert first(40) == ["control", "control again", *[STEP] * 3, *["neighbour of the control"] * 5]
    steps = [space.draw(FromParams(each.params)) for each in first_trials(spec(8, sets=sets))[1:]]
    assert [each.model.depth for each in steps] == [4, 3, 3]
    sets = ["steps=[{augment.elastic: true}]"]
    recipes = first_trials(spec(8, sets=sets, recipes=("A5-unet-ra",), space="mars"))
    assert [each.notes.recipe for each in recipes] == ["control", "A5-unet-ra"]
