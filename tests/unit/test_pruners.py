import random

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.pruners import TopKPruner


def study_with(*trials: tuple[dict[int, float], TrialState]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    for scores, state in trials:
        value = max(scores.values(), default=0.0) if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, intermediate_values=scores))
    return study


def pruned(study: optuna.Study, number: int, *, epoch: int = 1, keep: int = 2) -> bool:
    return TopKPruner(epoch=epoch, keep=keep).prune(study, study.get_trials()[number])


RUNNING, COMPLETE, PRUNED, FAIL = TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def test_the_best_few_after_the_epoch_go_on() -> None:
    study = study_with(({1: 0.3}, COMPLETE), ({1: 0.5}, RUNNING), ({1: 0.4}, RUNNING), ({1: 0.1, 2: 0.9}, RUNNING))
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
    assert [pruned(study, number, keep=keep) for number in range(3)] == [number >= keep for number in range(3)]


def test_one_after_the_other_more_than_the_best_few_reach_their_end() -> None:
    """The one who comes first cannot know who follows: the count that the docs state."""
    dice, ended = random.Random(0), []
    for _ in range(20):
        study = optuna.create_study(direction="maximize", pruner=TopKPruner(epoch=1, keep=5))
        for _ in range(50):
            trial = study.ask()
            trial.report(dice.random(), step=1)
            study.tell(trial, 0.5 if not trial.should_prune() else None, state=None if not trial.should_prune() else PRUNED)
        ended.append(sum(trial.state == COMPLETE for trial in study.get_trials()))
    assert 14 < sum(ended) / len(ended) < 19
