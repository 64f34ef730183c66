"""How trials end: a verdict with its cause, told to Optuna once, with its numbers before it."""

import math
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from objectives.results import EpochResult, scored_epoch
from search.leases import Lease
from search.messages import Cause
from search.study import Study
from search.worker import Worker


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


def unfinished_verdict(study: Study, lease: Lease) -> Ending | None:
    """The verdict of a worker that died while it told that this trial cannot work; a constraint once set stays."""
    found = study.storage.get_trial(lease.trial_id)
    if found.constraints.get(Cause.INFEASIBLE.value, 0.0) > 0:
        return Ending(TrialState.PRUNED, Cause.INFEASIBLE, found.user_attrs["message"])
    return None


def tell(worker: Worker, trial: optuna.Trial, ending: Ending) -> None:
    """End a trial: attributes first, since nothing can be added to a trial that has ended.

    May be repeated when its answer was lost.
    """
    found = worker.study.storage.get_trial(trial._trial_id)
    if found.state.is_finished():
        return
    only_last = bool(worker.study.run(trial.number).last_epoch)
    for key, value in attributes(worker, ending, only_last=only_last).items():
        trial.set_user_attr(key, value)
    if ending.cause is Cause.INFEASIBLE and Cause.INFEASIBLE.value not in found.constraints:
        trial.set_constraint(Cause.INFEASIBLE.value, 1.0)  # the sampler learns the border; of a failed trial it learns nothing
    score = scored_epoch(ending.history, last=only_last).score if ending.state == TrialState.COMPLETE else None
    worker.study.optuna.tell(trial, score, state=ending.state, skip_if_finished=True)


def attributes(worker: Worker, ending: Ending, *, only_last: bool) -> dict[str, object]:
    """What the dashboard shows of a trial beside its parameters; of all epochs the best counts, or the last alone."""
    found: dict[str, object] = {"end_cause": ending.cause.value, "device": worker.member.gpu or "cpu"}
    if ending.message:
        found["message"] = ending.message
    if ending.history:
        scored = scored_epoch(ending.history, last=only_last)
        names, iou = worker.data.spec.class_names, scored.iou
        if worker.study.spec.confirm.everything:
            found["value_is"] = "the fit to frames that were trained on, no score"
        else:
            found |= {f"iou {names[k]}": iou[k] for k in worker.data.spec.scored if not math.isnan(iou[k])}
        found |= {"best_epoch": scored.number, "epochs": len(ending.history)}
        found |= {"scored_on": scored.scored_on.type, "processor": scored.scored_on.name, "threads": scored.scored_on.threads}
        found |= {"train_seconds": round(sum(result.seconds for result in ending.history), 3)}
    return found
