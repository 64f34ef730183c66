"""A study as the report needs it, read once: every trial with its epochs, its time on a device and
its pictures.

The number of queries does not grow with the number of trials, but for Optuna's own, which reads 500
trials at a time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, assert_never

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from search.artifacts.pictures import pictures_of
from search.database.predicates import DEVICE_SECONDS, LIVE_LEASE
from search.posterior.standing import CONTROL as CONTROL_STANDS
from search.process.messages import Cause
from search.study.beliefs import read_beliefs
from search.study.budget import Budget
from search.study.looks import test_looks
from search.study.names import CONTROL
from search.study.pruners import judging
from search.study.record import Believed, Notes, State
from search.study.spec import StudySpec
from search.study.status import read_status
from search.study.stored import Study
from search.study.unfinished import unfinished_trials

HELD = text(f"""
    SELECT trial_id, coalesce({LIVE_LEASE}, false) AS held, {DEVICE_SECONDS} AS spent_s
    FROM trials JOIN search_lease USING (trial_id) WHERE study_id = :study_id
""")
NOW = text("SELECT extract(epoch FROM clock_timestamp())::float")

# in the order of the page
STATES = (
    State.COMPLETE,
    State.PRUNED,
    State.INFEASIBLE,
    State.FAILED,
    State.RUNNING,
    State.INTERRUPTED,
    State.WAITING,
)


@dataclass(frozen=True)
class TrialRecord:
    """One trial. Scores and IoU are fractions, times seconds since 1970; NaN where there
    is none.
    """

    number: int
    state: State
    cause: str
    message: str
    recipe: str  # what it was enqueued as; empty: the sampler drew it
    score: float  # NaN unless complete, or cut by the study's limit with weights that can be had
    believed: Believed | None  # None: it was pruned, has no score yet, or its study does not search
    curve: tuple[tuple[int, float], ...]  # epoch and score
    per_class: Mapping[str, float]
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]  # of its parameters
    epochs: int  # trained
    best_epoch: int
    parameters: int  # of the network
    device_s: float  # for which a worker held it
    train_s: float  # of its epochs
    copied: bool  # from the study that this one was migrated from, which has paid for it
    started_at: float
    ended_at: float  # now for a trial that has not ended
    pictures: Mapping[str, str]  # artifact id by file name

    @property
    def height(self) -> float:
        """By what it ranks: the posterior mean of its network, where there is one, else its score."""
        return self.score if self.believed is None else self.believed.mean

    @property
    def standing(self) -> int:
        """By what it ranks before that."""
        return CONTROL_STANDS if self.believed is None else self.believed.standing

    @property
    def last_score(self) -> float:
        """The score after its last reported epoch."""
        return self.curve[-1][1] if self.curve else math.nan


@dataclass(frozen=True)
class StudyRecord:
    """A study at one moment."""

    spec: StudySpec
    budget: Budget
    warnings: tuple[str, ...]
    epochs: int  # of a trial that is not ended early
    rungs: tuple[int, ...]
    test_looks: int
    read_at: float
    trials: tuple[TrialRecord, ...]  # by number

    @cached_property
    def control(self) -> TrialRecord | None:
        """The first trial, the default config; None when nobody has begun it."""
        return next(
            (
                trial
                for trial in self.trials
                if trial.number == CONTROL and trial.state is not State.WAITING
            ),
            None,
        )

    @cached_property
    def best(self) -> TrialRecord | None:
        """The trial to hand out, complete or cut by the study's limit: what is believed best of those
        that surely beat the control, else the control; of a study that does not search the one with
        the highest score. A complete one and the first of equals.
        """
        scored = [trial for trial in self.trials if not math.isnan(trial.score)]
        return max(
            scored,
            key=lambda trial: (
                trial.standing,
                round(trial.height, 9),
                trial.state is State.COMPLETE,
                -trial.number,
            ),
            default=None,
        )

    @property
    def control_score(self) -> float:
        """The control's score, NaN unless it is complete."""
        return self.control.score if self.control and self.control_complete else math.nan

    @property
    def control_height(self) -> float:
        """By what the control ranks, NaN unless it is complete."""
        return self.control.height if self.control and self.control_complete else math.nan

    @property
    def control_complete(self) -> bool:
        """Whether the control was trained to its end."""
        return self.control is not None and self.control.state is State.COMPLETE

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The scored classes that occur in any trial."""
        return tuple(dict.fromkeys(name for trial in self.trials for name in trial.per_class))

    @property
    def is_over(self) -> bool:
        """Whether no trial runs and none will begin."""
        return self.budget.over

    def of(self, *states: str) -> tuple[TrialRecord, ...]:
        """Return the trials in these states."""
        return tuple(trial for trial in self.trials if trial.state in states)


def read_study(study: Study) -> StudyRecord:
    """Return the study as it is now, without touching it.

    Raises:
        UserError: The study was deleted.
    """
    status = read_status(study)
    with study.engine.connect() as connection:
        leases = {row.trial_id: row for row in connection.execute(HELD, {"study_id": study.id})}
        now = float(connection.execute(NOW).scalar_one())
        cut = {
            trial.trial_id: trial.score
            for trial in unfinished_trials(connection, study.id, status.budget)
        }
    frozen = study.storage.get_all_trials(study.id, deepcopy=False)
    believed = read_beliefs(study).by_number

    def record(trial: FrozenTrial) -> TrialRecord:
        score = cut.get(trial._trial_id, math.nan)
        return _record(trial, leases.get(trial._trial_id), score, believed.get(trial.number), now)

    return StudyRecord(
        spec=study.spec,
        budget=status.budget,
        warnings=status.warnings,
        epochs=study.space.default().train.epochs,
        rungs=judging(study.space).rungs,
        test_looks=test_looks(study),
        read_at=now,
        trials=tuple(map(record, frozen)),
    )


def _record(
    trial: FrozenTrial, lease: Any, cut: float, believed: Believed | None, now: float
) -> TrialRecord:
    notes = Notes.of(trial)
    curve = tuple(
        sorted(
            (step, score)
            for step, score in trial.intermediate_values.items()
            if math.isfinite(score)
        )
    )
    copied = notes.original is not None
    train_s = 0.0 if copied else notes.train_s
    return TrialRecord(
        number=trial.number,
        state=_state(trial, held=lease is not None and lease.held),
        cause=notes.cause,
        message=notes.message,
        recipe=notes.recipe,
        score=trial.value if trial.state.name == "COMPLETE" and trial.value is not None else cut,
        believed=believed,
        curve=curve,
        per_class=notes.per_class,
        params=trial.params,
        distributions=trial.distributions,
        # read when it was cut, it may have gone on since
        epochs=max(notes.epochs, curve[-1][0] if curve else 0),
        best_epoch=notes.best_epoch,
        parameters=notes.parameters,
        device_s=float(lease.spent_s) if lease is not None and lease.spent_s > 0 else train_s,
        train_s=train_s,
        copied=copied,
        started_at=_moment(trial.datetime_start, math.nan),
        ended_at=_moment(trial.datetime_complete, now),
        pictures=pictures_of(trial.system_attrs),
    )


def _state(trial: FrozenTrial, *, held: bool) -> State:
    match trial.state:
        case TrialState.PRUNED if Notes.of(trial).cause == Cause.INFEASIBLE:
            return State.INFEASIBLE
        case TrialState.RUNNING:
            return State.RUNNING if held else State.INTERRUPTED
        case TrialState.FAIL:
            return State.FAILED
        case TrialState.PRUNED:
            return State.PRUNED
        case TrialState.COMPLETE:
            return State.COMPLETE
        case TrialState.WAITING:
            return State.WAITING
        case _:
            assert_never(trial.state)


def _moment(time: datetime | None, otherwise: float) -> float:
    """Seconds since 1970: every process of ours lives in UTC, which Optuna's times do not say."""
    return otherwise if time is None else time.replace(tzinfo=UTC).timestamp()
