"""What a study has cost and brought: the best so far by device time, hours by state, hours saved by
pruning.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from search.report.reading import STATES, StudyRecord, TrialRecord

_SHORTEST_S = 1e-3  # of a trial, so that its rate is finite


@dataclass(frozen=True)
class Moment:
    """A complete trial at its end: its own score, the best so far, and what the study had spent by
    then.
    """

    number: int
    spent_s: float
    score: float
    best: float


@dataclass(frozen=True)
class LedgerEntry:
    """A line of the ledger; what copied trials have cost is in that of the study they come from."""

    state: str
    trials: int
    epochs: int
    device_s: float


@dataclass(frozen=True)
class Ledger:
    """The cost of a study by state; the entries add up to the total."""

    entries: tuple[LedgerEntry, ...]  # of states that occur
    total: LedgerEntry
    saved_s: float  # by pruning
    gain: float  # of the best over the control, as it is believed; NaN when either is missing
    improved_s: float  # what had been spent when the best was found, NaN without one

    @property
    def gain_per_hour(self) -> float:
        """What the score gained over the control for each hour on devices."""
        return self.gain / (self.total.device_s / 3600) if self.total.device_s > 0 else math.nan


def spent_by(trials: Iterable[TrialRecord], moments: Sequence[float]) -> list[float]:
    """Seconds on devices that the trials had spent by each moment, each trial's spread evenly over
    its life.

    A trial that was interrupted has held a device for part of its life only; the sum at its end is
    right.
    """
    begun = [trial for trial in trials if trial.device_s > 0 and not math.isnan(trial.started_at)]
    if not begun:
        return [0.0] * len(moments)
    starts = np.array([trial.started_at for trial in begun])
    ends = np.maximum([trial.ended_at for trial in begun], starts + _SHORTEST_S)
    rates = np.array([trial.device_s for trial in begun]) / (ends - starts)
    times = np.concatenate([starts, ends])
    order = np.argsort(times, kind="stable")
    slopes = np.cumsum(np.concatenate([rates, -rates])[order])
    spent = np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(times[order]))])
    return [float(value) for value in np.interp(moments, times[order], spent)]


def best_so_far(study: StudyRecord) -> tuple[Moment, ...]:
    """Return each complete trial in the order in which they ended."""
    ended = sorted(study.of("complete"), key=lambda trial: (trial.ended_at, trial.number))
    spent = spent_by(study.trials, [trial.ended_at for trial in ended])
    tops = np.maximum.accumulate(np.array([trial.score for trial in ended], dtype=np.float64))
    return tuple(
        Moment(trial.number, spent_s, trial.score, float(best))
        for trial, spent_s, best in zip(ended, spent, tops, strict=True)
    )


def saved_s(study: StudyRecord) -> float:
    """Seconds that pruning has saved: the epochs that pruned trials did not train, at what an epoch
    of each has cost.

    Where early stopping would have ended such a trial anyway, it is less.
    """
    trained = [trial for trial in study.of("pruned") if trial.epochs > 0]
    return sum(max(0, study.epochs - trial.epochs) * _epoch_s(trial) for trial in trained)


def keep_ledger(study: StudyRecord) -> Ledger:
    """Return the cost of the study so far."""
    entries = tuple(_entry(state, study.of(state)) for state in STATES if study.of(state))
    best = study.best
    moments = [moment for moment in best_so_far(study) if best and moment.number == best.number]
    return Ledger(
        entries=entries,
        total=_entry("all", study.trials),
        saved_s=saved_s(study),
        gain=best.height - study.control_height if best else math.nan,
        improved_s=moments[0].spent_s if moments else math.nan,
    )


def _epoch_s(trial: TrialRecord) -> float:
    return (trial.train_s or trial.device_s) / trial.epochs


def _entry(state: str, trials: Sequence[TrialRecord]) -> LedgerEntry:
    epochs = sum(trial.epochs for trial in trials if not trial.copied)
    return LedgerEntry(state, len(trials), epochs, math.fsum(trial.device_s for trial in trials))
