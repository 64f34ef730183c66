"""How trials end: a verdict with its cause, told to Optuna once, with its numbers before it."""

import math
from dataclasses import dataclass, replace

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DataError, SQLAlchemyError

from objectives.data.resplit import dealt_parts
from objectives.errors import SearchError, first_line
from objectives.training.results import EpochResult, scored_epoch
from search.confirm.dealt_parts import places_text
from search.process.hearing import UnusableError
from search.process.messages import Cause
from search.study.budget import current_budget
from search.study.record import Notes
from search.trials.leases import Lease
from search.trials.writing import write_notes
from search.worker.context import Worker


@dataclass(frozen=True)
class Ending:
    """How a trial ended, and why."""

    state: TrialState
    cause: Cause
    message: str = ""
    history: tuple[EpochResult, ...] = ()

    def __str__(self) -> str:
        if self.message:
            return f"{self.cause}: {self.message}"
        return f"{self.cause} after {len(self.history)} epochs"


def unfinished_verdict(trial: FrozenTrial) -> Ending | None:
    """Return the verdict of a worker that died while it recorded that this trial cannot work; a
    constraint once set stays.
    """
    if trial.constraints.get(Cause.INFEASIBLE.value, 0.0) > 0:
        return Ending(TrialState.PRUNED, Cause.INFEASIBLE, Notes.of(trial).message)
    return None


def unrecordable(worker: Worker, error: Exception) -> Ending:
    """Return the end of a trial whose values were refused, by us, by Optuna or by the database:
    they would be so again.

    The error itself is raised where it says nothing of the trial's values.

    Raises:
        UserError: The study was deleted.
    """
    match error:
        case UnusableError():
            return Ending(TrialState.FAIL, Cause.ERROR, str(error))
        case SearchError() | UpdateFinishedTrialError():
            raise error
        case SQLAlchemyError() | StorageInternalError() if not isinstance(
            error.__cause__ or error, DataError
        ):
            raise error
        case KeyError():  # Optuna's word for what is not there
            worker.patiently(lambda: current_budget(worker.study))
    return Ending(
        TrialState.FAIL,
        Cause.ERROR,
        f"its values cannot be recorded: {type(error).__name__}: {first_line(error)}",
    )


def tell(worker: Worker, lease: Lease, trial: optuna.Trial, ending: Ending) -> None:
    """End a trial: attributes first, since nothing can be added to a trial that has ended.

    May be repeated when its answer was lost.
    """
    stored = worker.study.storage.get_trial(trial._trial_id)
    if stored.state.is_finished():
        return
    notes = replace(
        numbers(worker, trial, ending.history), cause=ending.cause.value, message=ending.message
    )
    write_notes(worker.study.engine, lease, notes)
    if ending.cause is Cause.INFEASIBLE and Cause.INFEASIBLE.value not in stored.constraints:
        # the sampler learns the border; of a failed trial it learns nothing
        trial.set_constraint(Cause.INFEASIBLE.value, 1.0)
    scored = _scored(worker, trial, ending.history) if ending.state == TrialState.COMPLETE else None
    worker.study.optuna.tell(
        trial, scored.score if scored else None, state=ending.state, skip_if_finished=True
    )


def numbers(worker: Worker, trial: optuna.Trial, history: tuple[EpochResult, ...]) -> Notes:
    """Return what is to be stored with a trained trial; of all epochs the best counts, or the last
    alone.
    """
    device = worker.member.gpu or "cpu"
    if not history:
        return Notes(device=device, device_name=worker.member.device.name)
    scored = _scored(worker, trial, history)
    names = worker.data.spec.class_names
    iou = scored.iou
    is_scored = worker.study.spec.purpose.scored
    losses = tuple(result.validation_loss for result in history)
    return Notes(
        device=device,
        device_name=worker.member.device.name,
        epochs=len(history),
        best_epoch=scored.number,
        train_s=round(sum(result.seconds for result in history), 3),
        losses=() if any(map(math.isnan, losses)) else losses,
        per_class={
            names[k]: iou[k]
            for k in worker.data.spec.scored
            if is_scored and not math.isnan(iou[k])
        },
        scored_on=scored.scored_on,
        places=_validated_on(worker, trial),
        fitted=not is_scored,
    )


def _validated_on(worker: Worker, trial: optuna.Trial) -> str:
    """Return the places of a trial's validation part, where the study deals parts anew."""
    if not worker.study.spec.purpose.resplit:
        return ""
    data = worker.data
    parts = dealt_parts(data, worker.study.run(trial.number).dealing)
    return places_text(data.groups[parts["validation"]].tolist())


def _scored(worker: Worker, trial: optuna.Trial, history: tuple[EpochResult, ...]) -> EpochResult:
    return scored_epoch(history, last=bool(worker.study.run(trial.number).last_epoch))
