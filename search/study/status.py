"""What a study is doing: budget, trials by state, the best so far, and its workers."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, text

from objectives.errors import listed
from search.database.predicates import ALIVE_WORKER, LIVE_LEASE
from search.program import program_version
from search.study.budget import WHY, Budget, Limit, beyond_budget, read_budget
from search.study.front import Model, read_front
from search.study.known import Readable
from search.study.record import (
    BELIEVING,
    CAUSE,
    HEIGHT,
    INFEASIBLE,
    MESSAGE,
    STANDING,
    Believed,
    Notes,
    State,
)
from search.study.trial_lines import STATE
from search.study.unfinished import Exportable, unfinished_trials

TRIALS = text(f"""
    SELECT {STATE}, count(*) AS trials
    FROM trials LEFT JOIN search_lease USING (trial_id) WHERE study_id = :study_id GROUP BY 1
""")

BEST = text(f"""
    SELECT trial_id, number, value, {STANDING} AS standing, {HEIGHT} AS height
    FROM trials JOIN trial_values USING (trial_id) {BELIEVING}
    WHERE study_id = :study_id AND state = 'COMPLETE' ORDER BY standing DESC, height DESC, number LIMIT 1
""")

WORKERS = text(f"""
    SELECT name, device, slot, slots, mps, program, number AS trial, {ALIVE_WORKER} AS alive,
           round(extract(epoch FROM coalesce(ended_at, clock_timestamp()) - search_worker.started_at)::numeric, 1) AS seconds
    FROM search_worker
    LEFT JOIN search_lease ON owner = search_worker.id AND {LIVE_LEASE}
    LEFT JOIN trials ON trials.trial_id = search_lease.trial_id AND trials.state = 'RUNNING'
    WHERE search_worker.study_id = :study_id ORDER BY search_worker.started_at
""")

# in the order in which they were written: classes in theirs
ATTRIBUTES = text("""
    SELECT key, value_json FROM trial_user_attributes WHERE trial_id = :trial_id ORDER BY trial_user_attribute_id
""")

LAST_UNFIT = text(f"""
    SELECT coalesce(why.value_json::json #>> '{{}}', '') FROM trials JOIN trial_user_attributes AS told
         ON told.trial_id = trials.trial_id AND told.key = '{CAUSE}' AND told.value_json = '{INFEASIBLE}'
         AND state = 'PRUNED'
    LEFT JOIN trial_user_attributes AS why ON why.trial_id = trials.trial_id AND why.key = '{MESSAGE}'
    WHERE study_id = :study_id ORDER BY number DESC LIMIT 1
""")

REMEDY = {
    Limit.STOPPED: "; `search resume` goes on",
    Limit.DEADLINE: "; `search extend --until 1h` gives it more",
    Limit.HOURS: "; `search extend --gpu-hours 1` gives it more",
}
UNKNOWN = "of unknown version"
STATES = (
    State.COMPLETE,
    State.PRUNED,
    State.FAILED,
    State.RUNNING,
    State.INTERRUPTED,
    State.WAITING,
)


@dataclass(frozen=True)
class Best:
    """The trial whose network is believed best: its number, score and IoU per scored class, all
    fractions. Complete, or cut by the study's limit.
    """

    trial_id: int
    number: int
    score: float
    per_class: dict[str, float]
    recipe: str  # what it was enqueued as; empty: the sampler drew it
    unfinished: bool = False  # not trained to its end, and the best there is for now
    believed: Believed | None = None  # None: its trial has just ended, or its study is of before


@dataclass(frozen=True)
class Infeasible:
    """Trials whose config cannot work: they count as pruned, up to a share of the budget, or all
    where none is replaced.
    """

    trials: int
    uncounted: int  # beyond that share, in a study that draws others in their place
    last: str  # why the newest of them cannot work


@dataclass(frozen=True)
class Status:
    """A study at one moment. ``trials`` counts by state and adds up to ``spent``."""

    study: str
    # running, paused or stopped, as people have ordered; whether it is over, the counts say
    state: str
    budget: Budget
    trials: dict[str, int]
    best: Best | None
    workers: tuple[dict[str, Any], ...]
    infeasible: Infeasible
    scored: bool = True  # False: its one model is of all frames, and has no score
    score: str = ""  # what a score is, in words
    score_words: str = ""  # the same in a few: mean IoU
    front: tuple[Model, ...] = ()  # the best, and what is cheaper
    learned: str = ""  # the runs of other studies that it has learned from

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the study, in lines for people."""
        lines = []
        unfit = self.infeasible
        if beyond_budget(unfit.trials, self.budget.trials):
            remedy = "nothing takes their place" if self.budget.fixed else "narrow the space"
            lines.append(
                f"{unfit.trials} trials could not work, {unfit.trials - unfit.uncounted} of them "
                f"at the budget's cost; "
                f"{remedy} (the last: {unfit.last})"
            )
        if foreign := self.budget.foreign_failures:
            counts = "are not replaced" if self.budget.fixed else "do not count"
            lines.append(
                f"{foreign} trial(s) were ended as failed by somebody else than a worker; they "
                f"{counts}"
            )
        if others := self._other_programs():
            lines.append(
                f"{len(others)} worker(s) run another version of this program, which is "
                f"{program_version() or UNKNOWN} here: {listed(others)}"
            )
        return tuple(lines)

    def _other_programs(self) -> list[str]:
        """Return the live workers whose program is not of this one's version, each with its."""
        return [
            f"{worker['name']} ({worker['program'] or UNKNOWN})"
            for worker in self.workers
            if worker["alive"] and worker["program"] != program_version()
        ]

    @property
    def halted(self) -> bool:
        """Whether no trial goes on though the study is not spent: paused, stopped, or
        over a limit.
        """
        return self.budget.limit() is not Limit.NONE

    @property
    def standing(self) -> str:
        """Whether the study goes on, and if not, why, and what makes it go on."""
        limit = self.budget.limit()
        alive = any(worker["alive"] for worker in self.workers)
        why = WHY.get(limit) or self.budget.no_room or "every trial has ended"
        if self.budget.closed():
            ending = f"ends, {self.budget.to_end} trial(s) to end" if self.budget.to_end else "over"
            cut = (
                f", {self.budget.unfinished} trial(s) unfinished" if self.budget.unfinished else ""
            )
            return f"{ending}: {why}{cut}{self._remedy}"
        if limit is Limit.PAUSED:
            return "paused: `search resume` goes on"
        return "running" if alive else "waits: no worker is alive"

    @property
    def _remedy(self) -> str:
        """What makes a closed study go on; empty where its trials are spent."""
        too_near = Limit.DEADLINE if self.budget.is_late else Limit.HOURS
        return REMEDY.get(too_near if self.budget.no_room else self.budget.limit(), "")

    @property
    def spent(self) -> int:
        """Trials of the budget that exist, in whatever state."""
        return sum(self.trials.values())

    def as_json(self) -> dict[str, Any]:
        """Return the form that scripts read."""
        best = self.best and {
            key: value for key, value in asdict(self.best).items() if key != "trial_id"
        }
        hours = {"budget": self.budget.gpu_s / 3600, "spent": round(self.budget.spent_s / 3600, 6)}
        return {
            "study": self.study,
            "state": self.state,
            "budget": {"trials": self.budget.trials, "spent": self.spent},
            "hours": hours,
            "over": self.budget.over,
            "limit": self.budget.limit().value,
            "deadline_s": self.budget.left_s,
            "standing": self.standing,
            "trials": self.trials,
            "best": best,
            "front": [asdict(model) for model in self.front],
            "score": self.score,
            "learns_from": self.learned,
            "workers": list(self.workers),
            "infeasible": asdict(self.infeasible),
            "warnings": list(self.warnings),
        }


def read_status(study: Readable) -> Status:
    """Return the study's present status, read without touching it.

    Raises:
        UserError: The study was deleted.
    """
    with study.engine.connect() as connection:
        which = {"study_id": study.id}
        budget = read_budget(connection, study)
        counted = {row.state: row.trials for row in connection.execute(TRIALS, which)}
        last = connection.execute(LAST_UNFIT, which).scalar() if budget.infeasible else None
        scored = study.spec.purpose.scored
        best = _best(connection, study, budget) if scored else None
        cheaper = read_front(connection, study.id, best.number) if best else ()
        workers = tuple(
            {**row, "seconds": float(row["seconds"])}
            for row in connection.execute(WORKERS, which).mappings()
        )
    foreign = 0 if budget.fixed else budget.foreign_failures
    infeasible = Infeasible(budget.infeasible, budget.replaced - foreign, last or "")
    trials: dict[str, int] = {state: counted.get(state, 0) for state in STATES}
    trials["pruned"] -= infeasible.uncounted
    trials["failed"] -= foreign
    return Status(
        study.spec.name,
        budget.order,
        budget,
        trials,
        best,
        workers,
        infeasible,
        scored,
        study.spec.score,
        study.spec.score_words,
        cheaper,
        str(study.spec.lessons),
    )


def _best(connection: Connection, study: Readable, budget: Budget) -> Best | None:
    complete = [Exportable(*row) for row in connection.execute(BEST, {"study_id": study.id})]
    best = max(
        complete + unfinished_trials(connection, study.id, budget),
        key=lambda trial: trial.rank,
        default=None,
    )
    if best is None:
        return None
    rows = connection.execute(ATTRIBUTES, {"trial_id": best.trial_id})
    notes = Notes.read({key: json.loads(value) for key, value in rows})
    unfinished = best not in complete
    return Best(
        best.trial_id,
        best.number,
        best.score,
        dict(notes.per_class),
        notes.recipe,
        unfinished=unfinished,
        believed=notes.believed,
    )
