"""Where trials came from: the control, recipes, neighbours of the control, or the sampler; and how
far each came.
"""

import math
from dataclasses import dataclass

from search.report.reading import StudyRecord, TrialRecord

SAMPLED = "drawn by the sampler"


@dataclass(frozen=True)
class Group:
    """The trials of one origin that have a score."""

    name: str
    complete: tuple[TrialRecord, ...]
    pruned: tuple[TrialRecord, ...]  # those with an epoch: their last score is no final one

    @property
    def best(self) -> float:
        """The highest final score, NaN without one."""
        return max((trial.score for trial in self.complete), default=math.nan)


def origins(study: StudyRecord) -> tuple[Group, ...]:
    """Return the groups with a scored trial, the best first; those that were only pruned
    come last.
    """
    trials_of: dict[str, list[TrialRecord]] = {}
    for trial in study.trials:
        trials_of.setdefault(trial.recipe or SAMPLED, []).append(trial)
    groups = [_group(name, trials) for name, trials in trials_of.items()]
    return tuple(
        sorted(
            filter(_has_score, groups),
            key=lambda group: (math.isnan(group.best), -group.best, group.name),
        )
    )


def _group(name: str, trials: list[TrialRecord]) -> Group:
    complete = tuple(trial for trial in trials if trial.state == "complete")
    pruned = tuple(trial for trial in trials if trial.state == "pruned" and trial.curve)
    return Group(name, complete, pruned)


def _has_score(group: Group) -> bool:
    return bool(group.complete or group.pruned)
