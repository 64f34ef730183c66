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

from search.posterior.sampler import Known
from search.study.record import MULTIPLY_ADDS, Believed
from search.study.stored import Study

# trials that tell something: the half with the highest scores, and others evenly from first to last,
# so that what is known is not only of good ones. Of all of them something is believed
MOST = 400
CHUNK = 200  # configs that are judged at once
TOGETHER = 100  # of the first it is known how they hang together
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
    is_control: bool
    believed: Believed

    @property
    def rank(self) -> tuple[int, float, float, int]:
        """By what it is handed out, the first lowest. Among runs of the control the first one counts,
        whose weights are always kept; among those of another config the highest score.
        """
        score = 0.0 if self.is_control else -self.score
        return -self.believed.standing, -round(self.believed.mean, 9), score, self.number


@dataclass(frozen=True)
class Beliefs:
    """A study's trials that have scores and were not pruned, what is to be handed out first: those that
    surely beat the control, then the control, then the others, each by posterior mean; among equal
    configs see `TrialBelief.rank`.
    """

    ranked: tuple[TrialBelief, ...]
    # of the true scores of the first `TOGETHER` of those, in their order
    covariances_CC: Floats = field(default_factory=lambda: np.zeros((0, 0)), compare=False)

    def within(self, place: int, margin: float, of: int = 0) -> float:
        """Return the probability that the config at a place is truly no more than ``margin`` worse
        than that of another place; 0 for one far down.
        """
        if max(place, of) >= len(self.covariances_CC):
            return 0.0
        each, first = self.ranked[place].believed, self.ranked[of].believed
        covariances = self.covariances_CC
        variance = covariances[of, of] + covariances[place, place] - 2 * covariances[of, place]
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
    known = Known(study.ground, study.optuna, trials, study.learned)
    if not known.runs:
        return Beliefs(())
    ended = sum(source.state in ENDED for source in known.sources)
    believer = known.from_runs(told_among(known.sources))
    judged = [
        place for place, source in enumerate(known.sources) if source.state != TrialState.PRUNED
    ]
    ranked = []
    for start in range(0, len(judged), CHUNK):
        places = judged[start : start + CHUNK]
        belief = believer.of([known.runs[place].values for place in places])
        for number, place in enumerate(places):
            compared = believer.has_control and not belief.is_control(number)
            source = known.sources[place]
            found = TrialBelief(
                trial_id=source._trial_id,
                number=source.number,
                score=_height(source),
                complete=source.state == TrialState.COMPLETE,
                multiply_adds=costs.get(source._trial_id, 0),
                is_control=belief.is_control(number),
                believed=Believed(
                    mean=float(belief.means_C[number]),
                    sd=float(belief.sds_C[number]),
                    beats_control=float(belief.beats_control_C[number]) if compared else None,
                    runs=ended,
                ),
            )
            ranked.append((found, known.runs[place].values))
    ranked.sort(key=lambda each: each[0].rank)
    first = believer.of([values for _, values in ranked[:TOGETHER]])
    covariances_CC = first.posterior.covariances_CC[:-1, :-1]
    return Beliefs(tuple(found for found, _ in ranked), covariances_CC)


def told_among(sources: Sequence[FrozenTrial]) -> list[int]:
    """Return the places of the trials that are to tell something: all, or as many as may be."""
    return most_telling([_height(each) for each in sources], MOST)


def most_telling(heights: Sequence[float], most: int) -> list[int]:
    """Return the places of the runs that are to tell something, by their highest scores: all, or as
    many as may be.
    """
    if len(heights) <= most:
        return [*range(len(heights))]
    by_height = sorted(range(len(heights)), key=lambda place: (-heights[place], place))
    rest = sorted(by_height[most // 2 :])
    evenly = most - most // 2
    step = len(rest) / evenly
    kept = by_height[: most // 2] + [rest[int(place * step)] for place in range(evenly)]
    return sorted(kept)


def _height(trial: FrozenTrial) -> float:
    if trial.value is not None:
        return trial.value
    return max(filter(math.isfinite, trial.intermediate_values.values()), default=-math.inf)
