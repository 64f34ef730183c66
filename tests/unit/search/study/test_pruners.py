import random
from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from objectives.config import GivenWeights, Start
from search.study.pruners import HalvingPruner, TopKPruner, judging
from search.study.rungs import JUDGED
from spaces import load_space
from spaces.starting import fit_weights


def study_with(*trials: tuple[dict[int, float], TrialState]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    for scores, state in trials:
        value = max(scores.values(), default=0.0) if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, intermediate_values=scores))
    return study


def pruned(study: optuna.Study, number: int, *, epoch: int = 1, keep: int = 2) -> bool:
    return TopKPruner(epoch=epoch, keep=keep).prune(study, study.get_trials()[number])


RUNNING, COMPLETE, PRUNED, FAIL = (
    TrialState.RUNNING,
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
)


def test_the_best_few_after_the_epoch_go_on() -> None:
    study = study_with(
        ({1: 0.3}, COMPLETE), ({1: 0.5}, RUNNING), ({1: 0.4}, RUNNING), ({1: 0.1, 2: 0.9}, RUNNING)
    )
    assert [pruned(study, number) for number in range(4)] == [True, False, False, True]


def test_one_that_is_overtaken_later_ends_at_its_next_report() -> None:
    early = [({1: 0.3, 2: 0.6}, RUNNING), ({1: 0.5}, RUNNING)]
    assert not pruned(study_with(*early), 0)
    assert pruned(study_with(*early, ({1: 0.4}, RUNNING)), 0)


def test_nothing_is_asked_before_the_epoch() -> None:
    study = study_with(({1: 0.9}, COMPLETE), ({1: 0.8, 2: 0.8}, COMPLETE), ({1: 0.1}, RUNNING))
    assert not pruned(study, 2, epoch=2)
    assert pruned(study, 2, epoch=1)


def test_a_failed_trial_takes_no_place_and_a_pruned_one_keeps_its_score() -> None:
    study = study_with(({1: 0.9}, FAIL), ({1: 0.8}, PRUNED), ({1: 0.1}, RUNNING))
    assert not pruned(study, 2, keep=2)
    assert pruned(study, 2, keep=1)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_of_equal_scores_the_lower_numbers_stay(keep: int) -> None:
    study = study_with(*[({1: 0.5}, RUNNING)] * 3)
    assert [pruned(study, number, keep=keep) for number in range(3)] == [
        number >= keep for number in range(3)
    ]


def test_one_after_the_other_more_than_the_best_few_reach_their_end() -> None:
    """The one who comes first cannot know who follows: the count that the docs state."""
    dice, ended = random.Random(0), []
    for _ in range(20):
        study = optuna.create_study(direction="maximize", pruner=TopKPruner(epoch=1, keep=5))
        for _ in range(50):
            trial = study.ask()
            trial.report(dice.random(), step=1)
            study.tell(
                trial,
                0.5 if not trial.should_prune() else None,
                state=None if not trial.should_prune() else PRUNED,
            )
        ended.append(sum(trial.state == COMPLETE for trial in study.get_trials()))
    assert 14 < sum(ended) / len(ended) < 19


def judged(scores: list[float]) -> list[bool]:
    """Who is pruned at the rung after epoch 2 when trials come there one after the other."""
    study = optuna.create_study(direction="maximize", pruner=HalvingPruner((2, 6)))
    verdicts = []
    for score in scores:
        trial = study.ask()
        trial.report(score, step=2)
        verdicts.append(trial.should_prune())
    return verdicts


def test_at_a_rung_the_best_third_goes_on_rounded_up() -> None:
    assert judged([0.1, 0.2, 0.3]) == [False, False, False], "each was the best of all so far"
    assert judged([0.5, 0.4, 0.3, 0.45, 0.42, 0.44]) == [False, True, True, False, True, True]
    assert judged([0.9, 0.8, 0.7, 0.1, 0.2, 0.3, 0.75]) == [
        False,
        True,
        True,
        True,
        True,
        True,
        False,
    ], "the third of seven"


def test_of_equal_scores_the_first_goes_on() -> None:
    assert judged([0.5, 0.5, 0.5]) == [False, True, True]


def test_a_trial_is_judged_once_at_each_rung_when_it_comes_there() -> None:
    study = optuna.create_study(direction="maximize", pruner=HalvingPruner((2, 6)))
    first = study.ask()
    first.report(0.3, step=2)
    assert not first.should_prune()
    for score in (0.5, 0.6, 0.7):
        other = study.ask()
        other.report(score, step=2)
        other.report(score, step=6)
        assert not other.should_prune()
    first.report(0.35, step=3)
    assert not first.should_prune(), "overtaken since, between two rungs"
    first.report(0.4, step=6)
    assert first.should_prune()
    attributes = study.get_trials()[0].system_attrs
    assert {key: value for key, value in attributes.items() if key.startswith(JUDGED)} == {
        f"{JUDGED}2": {"score": 0.3, "ends": False},
        f"{JUDGED}6": {"score": 0.4, "ends": True},
    }


def test_a_verdict_stands_when_it_is_asked_for_again() -> None:
    """As when a worker dies, or loses the database's answer, between the verdict and its word to
    the trial.
    """
    study = optuna.create_study(direction="maximize", pruner=HalvingPruner((2,)))
    ahead, behind = study.ask(), study.ask()
    ahead.report(0.5, step=2)
    behind.report(0.4, step=2)
    assert behind.should_prune()
    for _ in range(5):
        study.ask().report(0.1, step=2)
    assert behind.should_prune(), "it would be among the best now"


def test_a_rung_that_was_passed_without_a_verdict_is_judged_later() -> None:
    """As when a worker dies between a report and its verdict, and the trial's process has gone on
    meanwhile.
    """
    study = optuna.create_study(direction="maximize", pruner=HalvingPruner((2,)))
    for score in (0.5, 0.4):
        trial = study.ask()
        trial.report(score, step=2)
        trial.report(score + 0.3, step=3)
    assert trial.should_prune()


def test_a_failed_trial_takes_no_place_at_a_rung() -> None:
    study = study_with(({2: 0.9}, FAIL), ({2: 0.8}, FAIL), ({2: 0.1}, RUNNING))
    assert not HalvingPruner((2,)).prune(study, study.get_trials()[2])


def test_nearly_a_third_of_many_goes_on_and_of_few_some_more() -> None:
    dice = random.Random(0)
    shares = {
        trials: sum(judged([dice.random() for _ in range(trials)]).count(False) for _ in range(40))
        / (40 * trials)
        for trials in (9, 60)
    }
    assert 0.42 < shares[9] < 0.55, shares
    assert 0.34 < shares[60] < 0.42, shares


def frozen_for(epochs: int) -> Callable[[FrozenTrial], int]:
    return lambda trial: epochs if trial.number == 3 else 0


def test_a_trial_is_not_judged_before_its_freeze_ends() -> None:
    scores = [({2: score, 6: score}, RUNNING) for score in (0.9, 0.8, 0.7)]
    study = study_with(*scores, ({2: 0.1, 6: 0.1}, RUNNING))
    last = study.get_trials()[3]

    assert HalvingPruner((2, 6), frozen_of=frozen_for(1)).prune(study, last)
    assert not HalvingPruner((2, 6), frozen_of=frozen_for(6)).prune(study, study.get_trials()[3])
    judged_late = HalvingPruner((2, 6), frozen_of=frozen_for(2))
    study = study_with(*scores, ({2: 0.1, 6: 0.95}, RUNNING))
    assert not judged_late.prune(study, study.get_trials()[3]), "the rung in its freeze is left out"
    assert TopKPruner(epoch=2, keep=1).prune(study, study.get_trials()[3])
    assert not TopKPruner(epoch=2, keep=1, frozen_of=frozen_for(2)).prune(
        study, study.get_trials()[3]
    )
    assert TopKPruner(epoch=2, keep=1, frozen_of=frozen_for(2)).prune(study, study.get_trials()[2])


@pytest.mark.parametrize("pruning", ["{kind: halving}", "{kind: model}", "{kind: top_k, epoch: 2}"])
def test_the_space_tells_how_long_a_trial_is_frozen(pruning: str) -> None:
    sets = ("train.epochs=18", f"pruning={pruning}")
    start = Start(sha256="0" * 64, extent="encoder", mean=(0.5,) * 3, std=(0.5,) * 3)
    given = GivenWeights(
        name="x",
        fits={"model.kind": "smp"},
        start=start,
        sha256=start.sha256,
        source="x",
        licence="",
    )
    frozen = ("model.kind=smp", "model.weights=x", "train.frozen_epochs={int: [2, 4]}")
    space = fit_weights(load_space("tiny", (*sets, *frozen)), [given])
    trial = create_trial(
        state=RUNNING,
        params={**space.control, "train.frozen_epochs": 3},
        distributions={
            name: CategoricalDistribution((value,))
            for name, value in {**space.control, "train.frozen_epochs": 3}.items()
        },
    )

    assert judging(space).pruner.frozen_of(trial) == 3  # type: ignore[attr-defined]
    assert judging(load_space("tiny", sets)).pruner.frozen_of(trial) == 0  # type: ignore[attr-defined]
