"""The sampler under Optuna's own suite, and what it does with running, pruned and odd trials."""

import random
from collections.abc import Callable
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState, create_trial

from search.posterior.draws import FromTrial
from search.posterior.ground import FlatGround, SpaceGround
from search.posterior.sampler import ModelSampler, scores_of
from spaces import load_space

OPTIMUM = {"a": 0.7, "b": 0.3, "c": 0.6, "d": 0.45}


class OfOurs:
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: ModelSampler(seed=0, startup=0)


class TestBasic(OfOurs, BasicSamplerTestCase):
    pass


class TestRelative(OfOurs, RelativeSamplerTestCase):
    pass


class TestSingleOnly(OfOurs, SingleOnlySamplerTestCase):
    pass


def study_of(
    sampler: BaseSampler, direction: Literal["maximize", "minimize"] = "maximize"
) -> optuna.Study:
    return optuna.create_study(sampler=sampler, direction=direction)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_it_finds_the_better_end(direction: Literal["maximize", "minimize"]) -> None:
    study = study_of(ModelSampler(seed=1), direction)
    sign = 1 if direction == "maximize" else -1
    study.optimize(
        lambda trial: sign * (0.6 - (trial.suggest_float("x", 0, 1) - 0.8) ** 2), n_trials=25
    )
    assert study.best_params["x"] == pytest.approx(0.8, abs=0.06)


def truth(trial: optuna.Trial) -> float:
    """A score that falls away from an optimum to the side of the middle, where the control is."""
    away = [trial.suggest_float(name, 0, 1) - best for name, best in OPTIMUM.items()]
    return 0.6 - 0.2 * sum(each**2 for each in away)


def best_after(sampler: BaseSampler, trials: int, seed: int) -> float:
    """The true score of the best config of a study that sees noisy ones."""
    noise = np.random.default_rng(seed)
    truths: list[float] = []

    def noisy(trial: optuna.Trial) -> float:
        truths.append(truth(trial))
        return truths[-1] + 0.01 * float(noise.normal())

    study = study_of(sampler)
    study.enqueue_trial(dict.fromkeys(OPTIMUM, 0.5))
    study.optimize(noisy, n_trials=trials)
    return max(truths)


def test_it_finds_what_chance_does_not() -> None:
    model = [best_after(ModelSampler(seed=seed), 30, seed) for seed in range(3)]
    chance = [best_after(RandomSampler(seed=seed), 30, seed) for seed in range(3)]
    assert np.mean(model) > 0.595
    assert np.mean(model) > np.mean(chance)


def test_equal_seeds_and_trials_give_equal_proposals() -> None:
    found = []
    for _ in range(2):
        study = study_of(ModelSampler(seed=3))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=12)
        found.append([trial.params for trial in study.trials])
    assert found[0] == found[1]


def test_what_runs_is_not_proposed_again() -> None:
    study = study_of(ModelSampler(seed=4))
    study.optimize(lambda trial: -abs(trial.suggest_float("x", 0, 1) - 0.5), n_trials=12)
    at_once = [study.ask({"x": FloatDistribution(0, 1)}) for _ in range(4)]
    assert len({trial.params["x"] for trial in at_once}) == 4


def test_pruned_trials_count_by_their_last_scores() -> None:
    study = study_of(ModelSampler(seed=5))
    for place in range(10):
        x = place / 9
        curve = {epoch: 0.5 + 0.1 * x + 0.01 * epoch for epoch in range(1, 13 if place % 2 else 5)}
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if place % 2 else TrialState.PRUNED,
                params={"x": x},
                distributions={"x": FloatDistribution(0, 1)},
                intermediate_values=curve,
                value=max(curve.values()),
            )
        )
    asked = [study.ask({"x": FloatDistribution(0, 1)}).params["x"] for _ in range(3)]
    assert max(asked) > 0.6


def test_scores_that_are_none_are_taken_from_the_epoch_before() -> None:
    study = study_of(ModelSampler(seed=6))
    values = {1: float("inf"), 2: 0.5, 3: float("nan"), 4: 0.7}
    trial = create_trial(state=TrialState.PRUNED, intermediate_values=values)
    assert scores_of(study, trial).tolist() == [0.5, 0.5, 0.7]
    assert scores_of(study, create_trial(state=TrialState.PRUNED)).size == 0


@pytest.mark.parametrize("how", ["constraint", "failure"])
def test_what_cannot_be_trained_is_avoided(how: str) -> None:
    """The best would lie beyond the border."""

    def objective(trial: optuna.Trial) -> float:
        x, _ = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        if x <= 0.6:
            return 0.5 + 0.2 * x
        if how == "failure":
            raise RuntimeError("it diverged")
        trial.set_constraint("c", 1.0)
        raise optuna.TrialPruned

    study = study_of(ModelSampler(seed=8))
    study.enqueue_trial({"x": 0.4, "y": 0.5})
    study.optimize(objective, n_trials=40, catch=RuntimeError)
    broken = [trial.params["x"] > 0.6 for trial in study.trials]
    assert any(broken)
    assert sum(broken[-20:]) <= 6
    assert study.best_value > 0.6


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_scores_may_be_of_any_size(scale: float) -> None:
    study = study_of(ModelSampler(seed=9))
    study.optimize(
        lambda trial: (
            scale
            * (trial.suggest_categorical("kind", ["a", "b"]) == "b")
            * (1 - (trial.suggest_float("x", 0, 1) - 0.3) ** 2)
        ),
        n_trials=25,
    )
    assert study.best_params["kind"] == "b"
    assert study.best_params["x"] == pytest.approx(0.3, abs=0.1)


def test_numbers_of_the_best_are_kept_in_half_of_the_draws() -> None:
    space = {"n": IntDistribution(0, 1000), "x": FloatDistribution(0, 1)}
    ground = FlatGround(space, {"n": 500, "x": 0.5})
    near = ground.near({"n": 700, "x": 0.7}, changes=0.5)
    drawn = [ground.drawn(random.Random(seed), near).params for seed in range(400)]
    for name, value in (("n", 700), ("x", 0.7)):
        kept = sum(params[name] == value for params in drawn) / len(drawn)
        assert kept == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("odd", ["nothing", "elsewhere"])
def test_trials_that_somebody_else_made_stop_nobody(odd: str) -> None:
    space = load_space("small")
    study = study_of(ModelSampler(seed=10, startup=2, ground=SpaceGround(space)))
    study.enqueue_trial(dict(space.control))
    study.optimize(lambda trial: float(space.draw(FromTrial(trial)).train.ema), n_trials=4)
    params = {} if odd == "nothing" else {"x": 1.0}
    distributions: dict[str, BaseDistribution] = {name: FloatDistribution(0, 2) for name in params}
    for state in (TrialState.COMPLETE, TrialState.RUNNING):
        value = 0.9 if state == TrialState.COMPLETE else None
        study.add_trial(
            create_trial(state=state, value=value, params=params, distributions=distributions)
        )
    study.optimize(lambda trial: float(space.draw(FromTrial(trial)).train.ema), n_trials=2)
    assert study.trials[-1].state == TrialState.COMPLETE


def test_running_trials_count_by_their_scores() -> None:
    asked = []
    for score in (0.1, 0.9):
        study = study_of(ModelSampler(seed=11))
        for place in range(8):
            study.add_trial(at(place / 10, dict.fromkeys(range(1, 13), 0.5)))
        running = study.ask({"x": FloatDistribution(0, 1)})
        for epoch in range(1, 12):
            running.report(score, epoch)
        asked.append(study.ask({"x": FloatDistribution(0, 1)}).params["x"])
    assert asked[0] != asked[1]


def at(x: float, curve: dict[int, float]) -> optuna.trial.FrozenTrial:
    """A complete trial."""
    return create_trial(
        params={"x": x},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=curve,
        value=max(curve.values()),
    )


def test_with_a_space_every_condition_holds() -> None:
    space = load_space("mars")
    study = study_of(ModelSampler(seed=7, ground=SpaceGround(space)))
    study.enqueue_trial(dict(space.control))
    study.optimize(
        lambda trial: float(space.draw(FromTrial(trial)).optimiser.learning_rate), n_trials=14
    )
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    assert len({trial.params["model.kind"] for trial in study.trials}) > 1
