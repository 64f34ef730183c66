"""What all runs of a study together say of its trials' configs: a posterior, by which it chooses.

The highest score of many noisy ones is high by luck. A posterior takes each trial's score as one look
at a function of its config, of which all other trials have seen something, too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr
from sqlalchemy import text

from search.posterior.ground import SpaceGround
from search.posterior.sampler import Known
from search.study.record import MULTIPLY_ADDS, Believed
from search.study.stored import Study

# trials of which something is believed: the half with the highest scores, and others evenly from
# first to last, so that what is known is not only of good ones
MOST = 400
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
LEAST = 1e-12  # of a variance

COSTS = text(f"""
    SELECT trial_id, value_json::bigint AS multiply_adds FROM trial_user_attributes JOIN trials USING (trial_id)
    WHERE study_id = :study_id AND key = '{MULTIPLY_ADDS}'
""")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrialBelief:
    """What is believed of a trial's config. Its trial is complete, or running still or cut by the
    study's limit.
    """

    trial_id: int
    number: int
    score: float  # the trial's value, or the best so far
    complete: bool  # trained to its end
    multiply_adds: int  # of one frame, forward; 0: not known
    believed: Believed


@dataclass(frozen=True)
class Beliefs:
    """A study's trials that have scores and were not pruned, what is to be handed out first: those that
    surely beat the control, then the control, then the others, each by posterior mean; among equal
    configs by score.
    """

    ranked: tuple[TrialBelief, ...]
    # of the true scores of those, in their order
    covariances_CC: Floats = field(default_factory=lambda: np.zeros((0, 0)), compare=False)

    def within(self, place: int, margin: float) -> float:
        """Return the probability that the config at a place is truly no more than ``margin`` worse
        than that of the first.
        """
        each, first = self.ranked[place].believed, self.ranked[0].believed
        covariances = self.covariances_CC
        variance = covariances[0, 0] + covariances[place, place] - 2 * covariances[0, place]
        return float(ndtr((margin + each.mean - first.mean) / max(variance, LEAST) ** 0.5))

    @cached_property
    def by_number(self) -> dict[int, Believed]:
        """What is believed of each trial, by its number."""
        return {each.number: each.believed for each in self.ranked}


def read_beliefs(study: Study) -> Beliefs:
    """Return what is believed of a study's trials as it is now; nothing of one that does not search,
    and before its first score.
    """
    if not study.spec.purpose.searches:
        return Beliefs(())
    with study.engine.connect() as connection:
        trials = study.history.read(connection)
        rows = connection.execute(COSTS, {"study_id": study.id})
        costs = {row.trial_id: row.multiply_adds for row in rows}
    return _beliefs_of(study, trials, costs)


def _beliefs_of(study: Study, trials: Sequence[FrozenTrial], costs: Mapping[int, int]) -> Beliefs:
    ended = sum(trial.state in ENDED for trial in trials)
    known = Known(SpaceGround(study.space), study.optuna, _told(trials))
    if not known.runs:
        return Beliefs(())
    judged = [
        (source, run)
        for source, run in zip(known.sources, known.runs, strict=True)
        if source.state != TrialState.PRUNED
    ]
    believed = known.from_runs().of([run.values for _, run in judged])
    beats = believed.beats_control_C
    ranked = [
        TrialBelief(
            trial_id=source._trial_id,
            number=source.number,
            score=_height(source),
            complete=source.state == TrialState.COMPLETE,
            multiply_adds=costs.get(source._trial_id, 0),
            believed=Believed(
                mean=float(believed.means_C[place]),
                sd=float(believed.sds_C[place]),
                beats_control=None if believed.is_control(place) else float(beats[place]),
                runs=ended,
            ),
        )
        for place, (source, _) in enumerate(judged)
    ]
    order = sorted(range(len(ranked)), key=lambda place: _rank(ranked[place]))
    covariances_CC = believed.posterior.covariances_CC
    return Beliefs(tuple(ranked[place] for place in order), covariances_CC[np.ix_(order, order)])


def _rank(each: TrialBelief) -> tuple[int, float, float, int]:
    believed = each.believed
    return -believed.standing, -round(believed.mean, 9), -each.score, each.number


def _told(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that are to tell something: all, or as many as may be."""
    scored = [trial for trial in trials if trial.value is not None or trial.intermediate_values]
    if len(scored) <= MOST:
        return scored
    by_height = sorted(scored, key=lambda trial: (-_height(trial), trial.number))
    rest = sorted(by_height[MOST // 2 :], key=lambda trial: trial.number)
    step = len(rest) / (MOST // 2)
    kept = by_height[: MOST // 2] + [rest[int(place * step)] for place in range(MOST // 2)]
    return sorted(kept, key=lambda trial: trial.number)


def _height(trial: FrozenTrial) -> float:
    if trial.value is not None:
        return trial.value
    return max(filter(math.isfinite, trial.intermediate_values.values()), default=-math.inf)
