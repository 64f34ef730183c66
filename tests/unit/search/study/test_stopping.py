"""What the model gives up: by an independent computation, and in studies whose truth is known."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.posterior.belief import Believer, Run
from search.posterior.carried import carry
from search.posterior.ground import FlatGround
from search.posterior.sampler import Known
from search.study.pruners import judging
from search.study.rungs import JUDGED
from search.study.stopping import DISASTER, ModelPruner, known_with, rungs_of
from spaces import load_space
from spaces.pruning import ModelStopping

FIELDS, EPOCHS = 4, 18
CONTROL = {f"x{place}": 0.5 for place in range(FIELDS)}
SPACE: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in CONTROL}
GROUND = FlatGround(SPACE, CONTROL)
RUNGS = rungs_of(EPOCHS, 0.35)


class World:
    """Configs fall away from an optimum; curves rise, and early ones say less of the end."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.best = 0.5 + 0.15 * self.random.normal(size=FIELDS)

    def curve(self, params: dict[str, float]) -> np.ndarray:
        away = (np.array(list(params.values())) - self.best) ** 2
        end = 0.7 - away @ np.array([0.5, 0.3, 0.2, 0.1]) + 0.01 * self.random.normal()
        left = 1 - np.arange(1, EPOCHS + 1) / EPOCHS
        rise = 1 - 0.6 * left**2
        early = 0.04 * left * self.random.normal()
        return np.asarray(end * rise + early + 0.005 * self.random.normal(size=EPOCHS))

    def params(self) -> dict[str, float]:
        points = np.clip(0.5 + 0.25 * self.random.normal(size=FIELDS), 0, 1)
        return dict(zip(CONTROL, map(float, points), strict=True))


def pruner_of(p: float = 0.35) -> ModelPruner:
    def known(study: optuna.Study, trial: FrozenTrial) -> Known:
        return known_with(GROUND, study, trial, study.get_trials(deepcopy=False))

    return ModelPruner(known, p, epochs=EPOCHS)


def study_of(curves: list[tuple[dict[str, float], np.ndarray]], running: int = 1) -> optuna.Study:
    """A study whose trials are complete, but for the last ones, which run."""
    study = optuna.create_study(direction="maximize")
    for place, (params, curve) in enumerate(curves):
        runs = place >= len(curves) - running
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING if runs else TrialState.COMPLETE,
                value=None if runs else float(curve.max()),
                params=params,
                distributions=SPACE,
                intermediate_values={n: float(each) for n, each in enumerate(curve, start=1)},
            )
        )
    return study


def drawn(seed: int, complete: int, rung: int) -> optuna.Study:
    world = World(seed)
    configs = [dict(CONTROL), *(world.params() for _ in range(complete))]
    curves = [(each, world.curve(each)) for each in configs]
    curves[-1] = (configs[-1], curves[-1][1][:rung])
    return study_of(curves)


def test_rungs_lie_at_a_ninth_a_third_and_half() -> None:
    assert rungs_of(48, 0.35) == {5: 0.05, 16: 0.35, 24: 0.35}
    assert rungs_of(12, 0.35) == {2: 0.05, 4: 0.35, 6: 0.35}
    assert rungs_of(8, 0.35) == {2: 0.05, 4: 0.35}
    assert rungs_of(3, 0.02) == {2: 0.02}
    assert rungs_of(2, 0.35) == {}


def test_the_probability_is_that_of_the_posterior() -> None:
    """By hand: of the network, whose seed is half known by its early look and half luck."""
    study = drawn(1, 8, 9)
    trials = study.get_trials()
    runs = [
        Run(trial.params, np.array(list(trial.intermediate_values.values())), place < 8)
        for place, trial in enumerate(trials)
    ]
    # scores of a study of Optuna's are brought to the usual unit
    ends = np.array([run.scores_E[-1] for run in runs])
    low, high = np.quantile(ends, [0.16, 0.84])
    scale = 0.03 / ((high - low) / 2)
    units = [Run(run.values, (run.scores_E - np.median(ends)) * scale, run.whole) for run in runs]
    believer = Believer(GROUND.coordinates, units, EPOCHS)
    belief = believer.of([run.values for run in runs])
    carried = carry([run.scores_E for run in units], [run.whole for run in units], EPOCHS)
    seed = believer.process.scales.seed_sd**2
    off = carried.epoch_sds_N**2 + carried.early_sds_N**2
    kept = np.clip(1 - (seed / 2 + off) / (seed + off), 0, 1)
    means = belief.means_C[:-1] + kept * (carried.scores_N - belief.means_C[:-1])
    variances = (1 - kept) ** 2 * belief.sds_C[:-1] ** 2 + kept * (seed / 2 + off)
    lead = means[-1] - means[:-1].max()
    expected = 0.5 * (1 + math.erf(lead / (2 * variances[-1]) ** 0.5))
    verdict = pruner_of().verdict(study, trials[-1], 9)
    assert verdict["p"] == pytest.approx(expected, abs=1e-6)
    assert verdict["ends"] == (expected < 0.35)


def test_a_verdict_is_of_the_rung_and_stands() -> None:
    """Whatever was reported after the rung, and whatever comes to be known."""
    study = drawn(2, 8, 9)
    trial = study.get_trials()[-1]
    later = study.get_trials()[-1]
    later.intermediate_values |= {10: 0.01, 11: 0.01}
    pruner = pruner_of()
    assert pruner.verdict(study, later, 9) == pruner.verdict(study, trial, 9)
    first = pruner.prune(study, trial)
    noted = {key: dict(value) for key, value in study.get_trials()[-1].system_attrs.items()}
    assert set(noted) == {f"{JUDGED}{rung}" for rung in (2, 6, 9)} or first
    assert pruner_of(0.999).prune(study, study.get_trials()[-1]) == first


def test_what_is_hopeless_ends_and_what_leads_goes_on() -> None:
    for seed in range(4):
        study = drawn(seed, 8, 9)
        trial = study.get_trials()[-1]
        for change, ends in ((-0.3, True), (0.3, False)):
            other = study.get_trials()[-1]
            other.intermediate_values = {
                epoch: score + change for epoch, score in trial.intermediate_values.items()
            }
            assert pruner_of().verdict(study, other, 9)["ends"] == ends


def test_before_anything_is_known_all_go_on() -> None:
    """Without a complete trial; with fewer than three all but disasters do; parameters that are none of
    the space's say nothing.
    """
    world = World(0)
    alone = study_of([(dict(CONTROL), world.curve(dict(CONTROL))[:9])])
    assert pruner_of().verdict(alone, alone.get_trials()[0], 9) == {"ends": False}
    few = drawn(3, 2, 9)
    verdict = pruner_of(0.999).verdict(few, few.get_trials()[-1], 9)
    assert verdict["ends"] == (verdict["p"] < DISASTER)
    study = drawn(4, 8, 9)
    space = load_space("tiny", ["pruning={kind: model}"])
    elsewhere = judging(space).pruner
    assert isinstance(elsewhere, ModelPruner)
    assert elsewhere.verdict(study, study.get_trials()[-1], 4) == {"ends": False}


def test_little_is_lost_and_much_is_saved() -> None:
    """Of 12 studies of 16 trials one after the other, with the usual limit: the best network is rarely among what was
    ended, and a quarter of the epochs is saved.
    """
    lost, spent, rank = [], 0, []
    for seed in range(12):
        world = World(100 + seed)
        usual = pruner_of(ModelStopping().below)
        study = optuna.create_study(direction="maximize", pruner=usual)
        ends, whole = [], []
        for number in range(16):
            params = dict(CONTROL) if number == 0 else world.params()
            curve = world.curve(params)
            study.enqueue_trial(params)
            trial = study.ask(SPACE)
            pruned = False
            for epoch, score in enumerate(curve, start=1):
                trial.report(float(score), epoch)
                spent += 1
                if number and epoch in RUNGS and trial.should_prune():
                    pruned = True
                    break
            study.tell(
                trial,
                None if pruned else float(curve.max()),
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
            )
            ends.append(float(curve[-4:].mean()))
            whole.append(not pruned)
        best = max(end for end, is_whole in zip(ends, whole, strict=True) if is_whole)
        lost.append(max(ends) - best)
        rank.append(sum(end > best for end in ends))
    assert np.mean(lost) < 0.001
    assert np.mean(rank) < 0.2
    assert spent < 0.75 * 12 * 16 * EPOCHS
