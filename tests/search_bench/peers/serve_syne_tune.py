"""Syne Tune's schedulers, driven as its tuner drives them: suggest, add, result, remove."""

import datetime
import logging
from typing import Any

from serving import PRUNED, RUNNING, WAITING, serve
from syne_tune import config_space
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.legacy_baselines import ASHA, MOBSTER, HyperTune
from syne_tune.optimizer.scheduler import SchedulerDecision

QUIET = {"search_options": {"debug_log": False}}
METHODS = {
    "syne-tune ASHA stopping": lambda space, common: ASHA(space, type="stopping", **common),
    "syne-tune ASHA promotion": lambda space, common: ASHA(space, type="promotion", **common),
    "syne-tune MOBSTER": lambda space, common: MOBSTER(space, **common),
    # as its authors run it: promotion, with brackets
    "syne-tune Hyper-Tune": lambda space, common: HyperTune(
        space, type="promotion", brackets=4, **common
    ),
}
STATES = {
    SchedulerDecision.CONTINUE: RUNNING,
    SchedulerDecision.PAUSE: WAITING,
    SchedulerDecision.STOP: PRUNED,
}
MOST = "epochs"  # how far a trial is trained, until it is asked for again


class Scheduler:
    """One of its schedulers: rungs at 1, 3, 9 epochs, a third goes on."""

    def __init__(self, terms: dict[str, Any]) -> None:
        self._names = [field["name"] for field in terms["fields"]]
        space = {field["name"]: _domain(field) for field in terms["fields"]}
        common = {
            "metric": "score",
            "mode": "max",
            "resource_attr": "epoch",
            "max_resource_attr": MOST,
            "points_to_evaluate": [terms["control"]],
            "random_seed": terms["seed"],
            **QUIET,
        }
        self._scheduler = METHODS[terms["method"]](space | {MOST: terms["epochs"]}, common)
        self._trials: list[Trial] = []

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return the trial that the scheduler suggests, a new one or a paused one."""
        number = len(self._trials)
        suggestion = self._scheduler.suggest(number)
        if suggestion.spawn_new_trial_id:
            trial = Trial(number, suggestion.config.copy(), datetime.datetime.now())
            self._trials.append(trial)
            self._scheduler.on_trial_add(trial)
        else:
            trial = self._trials[suggestion.checkpoint_trial_id]
            trial.config = suggestion.config or trial.config
        return trial.trial_id, {name: trial.config[name] for name in self._names}

    def report(self, number: int, scores: list[float]) -> str:
        """Return whether the trial goes on, is paused, or is stopped."""
        trial = self._trials[number]
        said = self._scheduler.on_trial_result(trial, {"epoch": len(scores), "score": scores[-1]})
        if said != SchedulerDecision.CONTINUE:
            self._scheduler.on_trial_remove(trial)
        return STATES[said]


def _domain(field: dict[str, Any]) -> Any:
    match field:
        case {"kind": "choice", "options": options}:
            return config_space.choice(options)
        case {"kind": "int", "low": low, "high": high, "log": log}:
            return (config_space.lograndint if log else config_space.randint)(low, high)
        case {"kind": "float", "low": low, "high": high, "log": log}:
            return (config_space.loguniform if log else config_space.uniform)(low, high)
    raise ValueError(f"no such field: {field}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    serve(Scheduler)
