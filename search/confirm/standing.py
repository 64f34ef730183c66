"""How far the confirmation of a study is, and what it says: one verdict for `search confirm`,
export and report.

A candidate is chosen once each has ended its run with the first seed, which is the run that is
exported: before that, those that come first in the plan would win against nobody. Whoever has no
score with that seed cannot be chosen. Of folds the first is in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from optuna.trial import TrialState

from search.confirm.cell import Cell
from search.confirm.confirmation import ChosenCandidate, Confirmation
from search.confirm.plan import best_trials, cells, config_key, plan_of
from search.confirm.state import is_lost, newest_confirmation
from search.confirm.verdict import confirm
from search.study.names import CONTROL
from search.study.purpose import Confirming
from search.study.stored import Study, open_study

MOST_NAMED = 5  # trials in one sentence


class ConfirmationState(StrEnum):
    """How far a confirmation is."""

    NONE = "none"  # nobody has planned one
    PLANNED = "planned"  # no run has ended
    # a candidate has not ended its run with the first seed: nothing is chosen
    FIRST_ROUND = "first round"
    DECIDED = "decided"  # each has; other runs have not ended, and may move the choice
    ENDED = "ended"  # each run has ended, be it without a score


@dataclass(frozen=True)
class Better:
    """A trial of the search that would be a candidate by now, and is none."""

    number: int
    score: float

    def __str__(self) -> str:
        return f"{self.number} ({self.score:.4f})"


@dataclass(frozen=True)
class Standing:
    """The newest confirmation of a study."""

    study: str  # that confirms
    plan: Confirming
    runs: tuple[Cell, ...]  # that have ended
    # over candidates with a score with the first seed, so far; None without any
    verdict: Confirmation | None
    better: tuple[Better, ...]

    @property
    def state(self) -> ConfirmationState:
        """How far it is."""
        if not self.runs:
            return ConfirmationState.PLANNED
        if self.behind:
            return ConfirmationState.FIRST_ROUND
        return (
            ConfirmationState.ENDED if len(self.runs) == self.planned else ConfirmationState.DECIDED
        )

    @property
    def planned(self) -> int:
        """How many runs there are to be."""
        return len(self.plan.candidates) * self.plan.seeds

    @property
    def missing(self) -> int:
        """How many of them have no score (yet)."""
        return self.planned - sum(run.scored for run in self.runs)

    @property
    def behind(self) -> tuple[int, ...]:
        """Candidates whose run with the first seed has not ended."""
        ended = {run.candidate for run in self.runs if run.seed == 0}
        return tuple(each.number for each in self.plan.candidates if each.number not in ended)

    @property
    def lost(self) -> tuple[Cell, ...]:
        """Runs with the first seed that have ended without a score."""
        return tuple(run for run in self.runs if run.seed == 0 and not run.scored)

    @property
    def choice(self) -> ChosenCandidate | None:
        """The candidate to take; None as long as none is chosen."""
        return self.verdict.choice if self.verdict and not self.behind else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What keeps the confirmation from being whole and of today, in sentences; none of one that
        is.
        """
        return tuple(
            sentence
            for sentence in (self._undecided(), self._partial(), self._lost(), self._stale())
            if sentence
        )

    def _undecided(self) -> str:
        if self.choice:
            return ""
        if self.behind:
            why = (
                f"{len(self.behind)} of {len(self.plan.candidates)} candidates have not ended "
                f"their run {self.plan.first}"
            )
        else:
            why = f"no candidate has a score {self.plan.first}"
        return f"Study {self.study!r} chooses no trial{' yet' if self.behind else ''}: {why}."

    def _partial(self) -> str:
        if not (self.choice and self.missing):
            return ""
        yet = "" if self.state is ConfirmationState.ENDED else " yet"
        return (
            f"{self.missing} of the {self.planned} runs of study {self.study!r} have no score{yet}."
        )

    def _lost(self) -> str:
        if not self.lost:
            return ""
        causes = ", ".join(f"{run.candidate} ({run.cause})" for run in self.lost)
        repeat = any(is_lost(run) for run in self.lost)
        again = "; `search confirm` trains again what did not diverge" if repeat else ""
        return (
            f"Without a score {self.plan.first}, and so not to be chosen: trials {causes}{again}."
        )

    def _stale(self) -> str:
        if not self.better:
            return ""
        named = ", ".join(map(str, self.better[:MOST_NAMED])) + (
            ", ..." if len(self.better) > MOST_NAMED else ""
        )
        return (
            f"Trials that would be candidates by now are not confirmed: {named}; `search "
            f"confirm --again` plans anew."
        )


def read_standing(searched: Study, storage: str, *, within: float = 0.0) -> Standing | None:
    """Return the newest confirmation of a study; None without any. It writes nothing. ``within`` is
    as in `confirm`.
    """
    name = newest_confirmation(searched)
    if not name:
        return None
    confirming = open_study(storage, name)
    try:
        runs = cells(confirming)
        plan = plan_of(confirming.spec)
    finally:
        confirming.close()
    return Standing(name, plan, tuple(runs), _verdict(runs, within), _better(searched, plan))


def _verdict(runs: Sequence[Cell], within: float) -> Confirmation | None:
    exported = {run.candidate for run in runs if run.seed == 0 and run.scored}
    judged = [run for run in runs if run.candidate in exported]
    return confirm(judged, CONTROL, within=within) if judged else None


def _better(searched: Study, plan: Confirming) -> tuple[Better, ...]:
    """Return the trials that would be candidates by now, were it planned anew, and are none; the
    best first.
    """
    try:
        complete = searched.optuna.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        best = best_trials(searched, plan.best)
    except KeyError:  # the search was deleted meanwhile; what was confirmed of it stands
        return ()
    numbers = {each.number for each in plan.candidates}
    confirmed = {config_key(searched, trial) for trial in complete if trial.number in numbers}
    now = [trial for trial in best if config_key(searched, trial) not in confirmed]
    better = [Better(trial.number, trial.value or 0.0) for trial in now]
    return tuple(sorted(better, key=lambda each: (-each.score, each.number)))
