"""What all runs of a study together say of its trials: a posterior, by which it chooses.

The highest score of many noisy ones is high by luck. A posterior takes each trial's score as one look
at a function of its config, of which all other trials have seen something, too; and what is handed out
is a network, which keeps of its own score what is not the luck of the frames (see `Networks`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from optuna.trial import TrialState
from scipy.special import ndtr
from sqlalchemy import text

from search.posterior.belief import beats
from search.posterior.coordinates import points_of
from search.posterior.gaussian import Posterior
from search.posterior.networks import Networks
from search.posterior.sampler import Known
from search.posterior.telling import height_of, told_among
from search.study.luck import read_luck
from search.study.record import MULTIPLY_ADDS, Believed
from search.study.stored import Study

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
    """What is believed of the network that a trial has trained, and of its config. The trial is complete,
    or running still or cut by the study's limit.
    """

    trial_id: int
    number: int
    score: float  # the trial's value, or the best so far
    complete: bool  # trained to its end
    multiply_adds: int  # of one frame, forward; 0: not known
    is_control: bool
    believed: Believed  # of its network
    config: Believed  # of other trainings with its config, over seeds

    @property
    def rank(self) -> tuple[int, float, int]:
        """By what it is handed out, the first lowest."""
        return _rank(self.believed, self.number)

    @property
    def config_rank(self) -> tuple[int, float, int]:
        """By what it is worth to be trained again."""
        return _rank(self.config, self.number)


def _rank(believed: Believed, number: int) -> tuple[int, float, int]:
    return -believed.standing, -round(believed.mean, 9), number


@dataclass(frozen=True)
class Beliefs:
    """A study's trials that have scores and were not pruned, what is to be handed out first: networks
    that surely beat the best one of the control, then the control's, then the others, each by posterior
    mean.
    """

    ranked: tuple[TrialBelief, ...]
    # of the true scores of the first `TOGETHER` of those networks, in their order
    covariances_CC: Floats = field(default_factory=lambda: np.zeros((0, 0)), compare=False)

    def within(self, place: int, margin: float, of: int = 0) -> float:
        """Return the probability that the network at a place is truly no more than ``margin`` worse
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
        """What is believed of each trial's network, by its number."""
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
        luck = read_luck(connection, study.id)
    known = Known(study.ground, study.optuna, trials, study.learned)
    return _Judge(known, luck).beliefs(costs) if known.runs else Beliefs(())


class _Judge:
    """What judges the runs of a study: their configs, and the networks that they have trained."""

    def __init__(self, known: Known, luck: float | None) -> None:
        self.known = known
        self.believer = known.from_runs(told_among(known.sources))
        self.carried = known.carried
        self.luck = luck
        self.ended = sum(source.state in ENDED for source in known.sources)
        states = enumerate(source.state for source in known.sources)
        self.judged = [place for place, state in states if state != TrialState.PRUNED]
        points_ND = points_of(self.believer.coordinates, [run.values for run in known.runs])
        self.of_control_N = (points_ND == self.believer.coordinates.of({})).all(axis=1)

    def beliefs(self, costs: Mapping[int, int]) -> Beliefs:
        """Return what is believed of all runs that were not pruned."""
        control = self._control()
        found = [
            (belief, place)
            for start in range(0, len(self.judged), CHUNK)
            for belief, place in self._judged(self.judged[start : start + CHUNK], control, costs)
        ]
        found.sort(key=lambda each: each[0].rank)
        first = self._networks([place for _, place in found[:TOGETHER]])
        return Beliefs(tuple(belief for belief, _ in found), first.covariances_CC)

    def _networks(self, places: Sequence[int]) -> Posterior:
        configs = [self.known.runs[place].values for place in places]
        networks = Networks.believed(self.believer, configs, self.carried.some(places))
        return networks.scores(networks.luck(self.luck))

    def _control(self) -> int | None:
        """Return the place of the control's best network; None without one."""
        places = [place for place in self.judged if self.of_control_N[place]]
        if not places:
            return None
        return places[int(np.argmax(self._networks(places).means_C))]

    def _judged(
        self, places: list[int], control: int | None, costs: Mapping[int, int]
    ) -> Iterator[tuple[TrialBelief, int]]:
        """Yield what is believed of runs, compared with a network of the control."""
        configs = self.believer.of([self.known.runs[place].values for place in places])
        networks = self._networks(places if control is None else [*places, control])
        beats_C = beats(networks, len(networks.means_C) - 1)
        for number, place in enumerate(places):
            source = self.known.sources[place]
            is_control = bool(self.of_control_N[place])
            compared = control is not None and not is_control
            yield (
                TrialBelief(
                    trial_id=source._trial_id,
                    number=source.number,
                    score=height_of(source),
                    complete=source.state == TrialState.COMPLETE,
                    multiply_adds=costs.get(source._trial_id, 0),
                    is_control=is_control,
                    believed=self._believed(networks, number, beats_C if compared else None),
                    config=self._believed(
                        configs.posterior, number, configs.beats_control_C if compared else None
                    ),
                ),
                place,
            )

    def _believed(self, posterior: Posterior, number: int, beats_C: Floats | None) -> Believed:
        return Believed(
            mean=float(posterior.means_C[number]),
            sd=float(posterior.sds_C[number]),
            beats_control=None if beats_C is None else float(beats_C[number]),
            runs=self.ended,
        )
