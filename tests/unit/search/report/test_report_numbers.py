"""What the report computes from the trials of a study, without a database."""

import math
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from objectives.statistics.interval import Unknown
from search.report.groups import SAMPLED, origins
from search.report.importance import Importances, importances
from search.report.numbers import best_so_far, keep_ledger, saved_s, spent_by
from search.report.reading import STATES, StudyRecord, TrialRecord
from search.report.sections.trials import differences
from search.study.budget import Budget
from search.study.record import State
from tests.support.report_studies import spec_of

NAN = math.nan
BLANK = TrialRecord(
    number=0,
    state=State.COMPLETE,
    cause="",
    message="",
    recipe="",
    score=NAN,
    believed=None,
    curve=(),
    per_class={},
    params={},
    distributions={},
    epochs=0,
    best_epoch=0,
    parameters=0,
    device_s=0.0,
    train_s=0.0,
    copied=False,
    started_at=NAN,
    ended_at=NAN,
    pictures={},
)
BUDGET = Budget(9, 0.0, 0.0, "running", 0.0, 0.0, 0, 0, 0, 0, 0, 0, fixed=False)


def study_of(trials: Iterable[TrialRecord], *, epochs: int = 10) -> StudyRecord:
    return StudyRecord(spec_of("s"), BUDGET, (), epochs, (), 0, 0.0, tuple(trials))


def trial(number: int, **given: Any) -> TrialRecord:
    return replace(BLANK, number=number, **given)


def test_spent_time_is_each_trials_share_of_its_life() -> None:
    dice = random.Random(3)
    trials = []
    for number in range(40):
        start, length = dice.uniform(0, 1000), dice.uniform(0.01, 300)
        trials.append(
            trial(number, started_at=start, ended_at=start + length, device_s=dice.uniform(0, 500))
        )
    moments = [dice.uniform(-50, 1400) for _ in range(60)]

    def directly(moment: float) -> float:
        shares = ((moment - each.started_at) / (each.ended_at - each.started_at) for each in trials)
        return sum(
            each.device_s * min(1.0, max(0.0, share))
            for each, share in zip(trials, shares, strict=True)
        )

    assert spent_by(trials, moments) == pytest.approx(
        [directly(moment) for moment in moments], abs=1e-6
    )


def test_spent_time_of_trials_that_never_began_is_none() -> None:
    assert spent_by([trial(0), trial(1, device_s=5.0)], [1.0, 2.0]) == [0.0, 0.0]
    instant = trial(2, started_at=7.0, ended_at=7.0, device_s=4.0)  # by a clock that stood still
    assert spent_by([instant], [6.0, 8.0]) == [0.0, pytest.approx(4.0)]


def test_the_best_so_far_is_in_the_order_of_ends() -> None:
    late = trial(0, score=0.4, started_at=0.0, ended_at=30.0, device_s=30.0)
    first = trial(1, score=0.5, started_at=0.0, ended_at=10.0, device_s=10.0)
    worse = trial(2, score=0.3, started_at=10.0, ended_at=20.0, device_s=10.0)
    best = trial(3, score=0.6, started_at=20.0, ended_at=40.0, device_s=20.0)
    pruned = trial(4, state=State.PRUNED, started_at=30.0, ended_at=40.0, device_s=100.0)
    moments = best_so_far(study_of([late, first, worse, best, pruned]))
    assert [moment.number for moment in moments] == [1, 2, 0, 3]
    assert [moment.best for moment in moments] == [0.5, 0.5, 0.5, 0.6]
    assert [moment.spent_s for moment in moments] == pytest.approx([20.0, 40.0, 60.0, 170.0])


def test_pruning_saves_the_epochs_that_were_not_trained() -> None:
    # 6 epochs left, of 2 s
    quick = trial(1, state=State.PRUNED, epochs=4, train_s=8.0, device_s=50.0)
    # 1 epoch left, of 10 s
    slow = trial(2, state=State.PRUNED, epochs=9, train_s=0.0, device_s=90.0)
    never = trial(3, state=State.INFEASIBLE)
    failed = trial(4, state=State.FAILED, epochs=1, train_s=5.0)
    untrained = trial(5, state=State.PRUNED, device_s=3.0)
    assert (
        saved_s(
            study_of(
                [trial(0, score=0.5, epochs=10, train_s=9.0), quick, slow, never, failed, untrained]
            )
        )
        == 22.0
    )


def test_the_ledger_adds_up() -> None:
    dice = random.Random(1)
    trials = [
        trial(
            number,
            state=dice.choice(STATES),
            epochs=dice.randrange(9),
            device_s=dice.uniform(0, 1e4),
            score=0.1,
        )
        for number in range(200)
    ]
    ledger = keep_ledger(study_of(trials))
    assert [entry.state for entry in ledger.entries] == list(STATES)
    assert sum(entry.trials for entry in ledger.entries) == ledger.total.trials == 200
    assert (
        sum(entry.epochs for entry in ledger.entries)
        == ledger.total.epochs
        == sum(each.epochs for each in trials)
    )
    assert sum(entry.device_s for entry in ledger.entries) == pytest.approx(ledger.total.device_s)
    assert ledger.total.device_s == pytest.approx(sum(each.device_s for each in trials))


def test_the_gain_is_over_the_control_and_by_the_hour() -> None:
    control = trial(0, score=0.5, started_at=0.0, ended_at=3600.0, device_s=3600.0)
    better = trial(1, score=0.6, started_at=3600.0, ended_at=7200.0, device_s=3600.0)
    after = trial(2, state=State.FAILED, started_at=7200.0, ended_at=14400.0, device_s=7200.0)
    ledger = keep_ledger(study_of([control, better, after]))
    assert ledger.gain == pytest.approx(0.1)
    assert ledger.gain_per_hour == pytest.approx(0.025)
    assert ledger.improved_s == pytest.approx(7200.0)


def test_nothing_gives_an_empty_ledger() -> None:
    ledger = keep_ledger(study_of([]))
    assert ledger.entries == ()
    assert ledger.saved_s == ledger.total.device_s == 0.0
    assert math.isnan(ledger.gain)
    assert math.isnan(ledger.gain_per_hour)


def test_of_equal_scores_the_first_trial_is_the_best() -> None:
    study = study_of(
        [
            trial(0, score=0.2),
            trial(1, score=0.7),
            trial(2, score=0.7),
            trial(3, state=State.PRUNED, curve=((1, 0.9),)),
        ]
    )
    assert study.best is study.trials[1]


def test_a_waiting_control_is_none_yet() -> None:
    assert study_of([trial(0, state=State.WAITING)]).control is None


def noisy(number: int, *, seed: int = 0) -> TrialRecord:
    """A trial whose score depends on ``a`` alone, among ``b`` and, in some trials, ``c``."""
    dice = random.Random(f"{seed} {number}")
    params = {"a": dice.random(), "b": dice.random()} | (
        {"c": dice.random()} if number % 9 == 0 else {}
    )
    kinds = dict.fromkeys(params, FloatDistribution(0.0, 1.0))
    return trial(number, score=1 - abs(params["a"] - 0.3), params=params, distributions=kinds)


def test_the_parameter_that_decides_is_the_most_important() -> None:
    found = importances(study_of(map(noisy, range(60))))
    assert isinstance(found, Importances)
    assert next(iter(found.shares)) == "a"
    assert found.shares["a"] > 0.5
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert (found.top, found.trials) == (6, 60)


def test_few_complete_trials_have_no_importances() -> None:
    pruned = [replace(noisy(number), state=State.PRUNED) for number in range(9, 40)]
    found = importances(study_of([*map(noisy, range(9)), *pruned]))
    assert isinstance(found, Unknown)
    assert "(9)" in found.reason
    assert isinstance(importances(study_of(map(noisy, range(10)))), Importances)


def test_equal_scores_have_no_importances() -> None:
    found = importances(study_of(replace(noisy(number), score=0.5) for number in range(20)))
    assert isinstance(found, Unknown)


def test_origins_are_ranked_by_their_best() -> None:
    trials = [
        trial(0, score=0.5, recipe="control"),
        trial(1, state=State.PRUNED, recipe="A1", curve=((1, 0.9),)),
        trial(2, score=0.4, recipe="C1"),
        trial(3, score=0.6),
        trial(4, state=State.FAILED, recipe="B2"),
        trial(5, score=0.3),
        trial(6, state=State.PRUNED, curve=((1, 0.1),)),
    ]
    groups = origins(study_of(trials))
    assert [group.name for group in groups] == [SAMPLED, "control", "C1", "A1"]
    assert [each.number for each in groups[0].complete] == [3, 5]
    assert [each.number for each in groups[0].pruned] == [6]


def test_differences_name_what_the_control_has_otherwise() -> None:
    control = {"depth": 3, "rate": 0.01, "kind": "adamw", "momentum": 0.9}
    other = {"depth": 3, "rate": 0.0123456, "kind": "sgd", "nesterov": True}
    assert list(differences(other, control)) == ["kind=sgd", "nesterov=yes", "rate=0.0123"]
    assert list(differences(control, control)) == []
