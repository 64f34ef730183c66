"""Learning from other studies, in worlds whose truth is known: a sister study helps, a misleading one
costs little.
"""

import random
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import optuna
import pytest
from optuna.distributions import FloatDistribution

from search.posterior.belief import Believer, Learned, Run
from search.posterior.draws import FromTrial
from search.posterior.ground import FlatGround, SpaceGround, Tried
from search.posterior.proposal import propose
from search.posterior.sampler import STARTUP, ModelSampler
from spaces import load_space
from spaces.values import Value

Floats = npt.NDArray[np.float64]
FIELDS, EPOCHS, TRAININGS, STUDIES = 5, 20, 8, 24
CONTROL = {f"x{place}": 0.5 for place in range(FIELDS)}
GROUND = FlatGround({name: FloatDistribution(0, 1) for name in CONTROL}, CONTROL)
WEIGHTS = np.array([0.3, 0.15, 0.1, 0.05, 0.0])
Config = dict[str, Value]


class World:
    """Scores that fall away from an optimum: curves that rise, seeds, jumps, a level of its own."""

    def __init__(self, seed: int, best: Floats, level: float = 0.65, epochs: int = EPOCHS) -> None:
        self.random = np.random.default_rng(seed)
        self.best, self.level, self.epochs = best, level, epochs

    def gain(self, values: Config) -> float:
        """What a config is truly better by than the control."""
        point = np.array([values[name] for name in CONTROL], float)
        return float(WEIGHTS @ ((0.5 - self.best) ** 2 - (point - self.best) ** 2))

    def run(self, values: Config, done: int | None = None) -> Run:
        rise = 1 - np.exp(-4 * np.arange(1, self.epochs + 1) / self.epochs)
        noise = 0.015 * self.random.normal() + 0.008 * self.random.normal(size=self.epochs)
        scores_E = (self.level + self.gain(values)) * rise + noise
        return Run(values, scores_E[:done], done is None)


def learned_from(world: World, seed: int, runs: int = 30, stopped: int = 0) -> Learned:
    """A study of that world, whose first run is of its control; some of its runs were stopped."""
    dice = np.random.default_rng(seed)
    spread = [np.full(FIELDS, 0.2 if place % 2 else 0.4) for place in range(runs - 1)]
    points = [np.clip(0.5 + each * dice.normal(size=FIELDS), 0, 1) for each in spread]
    configs: list[Config] = [
        dict(CONTROL),
        *(dict(zip(CONTROL, map(float, point), strict=True)) for point in points),
    ]
    told = [
        world.run(config, world.epochs // 3 if runs - place <= stopped else None)
        for place, config in enumerate(configs)
    ]
    level = Believer(GROUND.coordinates, told, world.epochs).of([]).means_C[-1]
    return Learned([Tried(each, each) for each in configs], told, world.epochs, float(level))


def found_by_model(world: World, seed: int, learned: list[Learned]) -> tuple[float, float]:
    """What a search of a few trainings truly gains: by the config that is believed best, and by that
    one only where it beats the control with 80 %, which is what a study hands out. Without other
    studies chance draws until there are enough runs.
    """
    tried: list[Tried] = []
    runs: list[Run] = []
    for number in range(TRAININGS):
        dice = random.Random(100 * seed + number)
        if number == 0:
            config = Tried(CONTROL, dict(CONTROL))
        elif not learned and number < STARTUP:
            config = GROUND.drawn(dice, None)
        else:
            believer = Believer(GROUND.coordinates, runs, EPOCHS, learned)
            elsewhere = [each for study in learned for each in study.tried]
            params = propose(GROUND, believer, tried, dice, (), elsewhere).params
            config = GROUND.tried(params)
        tried.append(config)
        runs.append(world.run(dict(config.values)))
    belief = Believer(GROUND.coordinates, runs, EPOCHS, learned).of([each.values for each in tried])
    chosen = int(np.argmax(belief.means_C[:-1]))
    gain = world.gain(dict(tried[chosen].values))
    return gain, gain if belief.beats_control_C[chosen] > 0.8 else 0.0


def gains(kind: str) -> Floats:
    """(S, 2) of so many searches, which see the same worlds whatever they learn from."""
    found = []
    for seed in range(STUDIES):
        dice = np.random.default_rng(seed)
        best = 0.5 + 0.12 * dice.normal(size=FIELDS)
        theirs = {
            "none": best,
            "similar": best + 0.04 * dice.normal(size=FIELDS),
            "reversed": 1 - best,
        }[kind]
        other = World(1000 + seed, theirs, level=0.45, epochs=30)
        learned = [] if kind == "none" else [learned_from(other, 2000 + seed)]
        found.append(found_by_model(World(3000 + seed, best), seed, learned))
    return np.array(found)


@pytest.mark.long
def test_a_similar_study_helps_and_a_misleading_one_costs_little() -> None:
    alone, similar, reverse = (gains(kind) for kind in ("none", "similar", "reversed"))
    assert similar[:, 0].mean() > alone[:, 0].mean() + 0.001
    assert similar[:, 1].mean() > alone[:, 1].mean() + 0.001
    assert reverse[:, 0].mean() > -0.007, "of a score"
    assert reverse[:, 1].mean() > -0.003, "of what is handed out"


def test_likeness_is_told_by_the_runs() -> None:
    """Of 40 own runs each."""
    best = np.array([0.7, 0.35, 0.6, 0.5, 0.5])
    own = learned_from(World(1, best), 11, runs=40)
    likenesses = []
    for theirs in (best + 0.02, 1 - best):
        other = learned_from(World(2, theirs, level=0.4), 12, runs=40)
        believer = Believer(GROUND.coordinates, own.runs, EPOCHS, [other])
        likenesses.append(believer.process.scales.likenesses[0])
    assert likenesses[0] >= 0.8
    assert likenesses[1] == 0.0


def test_levels_and_epochs_of_the_other_study_change_nothing() -> None:
    best = np.array([0.7, 0.35, 0.6, 0.5, 0.5])
    own = [World(4, best).run(dict(CONTROL))]
    configs = [each.values for each in learned_from(World(1, best), 5).tried]
    other = learned_from(World(3, best), 5, stopped=8)
    higher = replace(
        other,
        runs=[replace(run, scores_E=run.scores_E + 0.2) for run in other.runs],
        level=other.level + 0.2,
    )
    means = [
        Believer(GROUND.coordinates, own, EPOCHS, [each]).of(configs).means_C
        for each in (other, higher)
    ]
    np.testing.assert_allclose(means[0], means[1], atol=1e-9)
    longer = learned_from(World(3, best, epochs=60), 5, stopped=8)
    found = Believer(GROUND.coordinates, own, EPOCHS, [longer]).of(configs).means_C
    assert np.corrcoef(found, means[0])[0, 1] > 0.9


def test_from_the_first_trial_on_the_model_proposes_with_enough_learned_runs() -> None:
    """None of them is a trial, whatever the control is doing."""
    ground = SpaceGround(load_space("small"))
    other = of_space(ground, STARTUP)
    proposed = []
    for learned in ((), (other,), (replace(other, tried=other.tried[1:], runs=other.runs[1:]),)):
        sampler = ModelSampler(seed=1, ground=ground, learned=learned)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        ground.space.draw(FromTrial(study.ask()))
        proposed.append(sampler.proposal is not None)
        assert len(study.trials) == 1
    assert proposed == [False, True, False]


def of_space(ground: SpaceGround, runs: int) -> Learned:
    """Runs of any configs of a space."""
    dice = random.Random(1)
    tried = [ground.tried(ground.control), *(ground.drawn(dice, None) for _ in range(runs - 1))]
    told = [
        Run(each.values, 0.4 + 0.1 * np.sort(np.random.default_rng(k).random(12)))
        for k, each in enumerate(tried)
    ]
    return Learned(tried, told, 12, 0.45)
