"""What is believed of the configs of a study, by all of its runs together."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from search.posterior.carried import Carried, carry, usual_seed_sd
from search.posterior.coordinates import Coordinates, points_of
from search.posterior.gaussian import Observed, Posterior, Process, spread_of
from search.posterior.ground import Tried
from spaces.values import Value

Floats = npt.NDArray[np.float64]

MOST_FITTED = 100  # runs by which scales are chosen; all of them count in the posterior


@dataclass(frozen=True)
class Run:
    """A training: the values of the free fields that its config reads, its scores (E,) of the epochs
    that it has trained, at least one, and whether it came to its end.
    """

    values: Mapping[str, Value]
    scores_E: Floats
    whole: bool = True


@dataclass(frozen=True)
class Learned:
    """What another study tells: its runs, by their configs in the coordinates of this one, and what
    it believes of its own control, from which its scores are told. A run of any number of epochs
    counts by its share of that study's training.
    """

    tried: Sequence[Tried]  # a config for each run
    runs: Sequence[Run]
    epochs: int
    level: float


@dataclass(frozen=True)
class Belief:
    """What is believed of C configs: their true scores, which are means over seeds."""

    posterior: Posterior
    control: int  # its place among them
    points_CD: Floats

    def is_control(self, place: int) -> bool:
        """Return whether a config is the control."""
        return bool((self.points_CD[place] == self.points_CD[self.control]).all())

    @property
    def means_C(self) -> Floats:
        """Means (C,)."""
        return self.posterior.means_C

    @property
    def sds_C(self) -> Floats:
        """Deviations (C,)."""
        return self.posterior.sds_C

    @property
    def beats_control_C(self) -> Floats:
        """The probability (C,) that each is truly better than the control; 1/2 for the control."""
        return beats(self.posterior, self.control)


def beats(posterior: Posterior, other: int) -> Floats:
    """Return the probability (C,) that each of C true scores is above that of the one at a place; 1/2
    for itself.
    """
    covariances_CC = posterior.covariances_CC
    variances_C = np.diagonal(covariances_CC)
    differing_C = variances_C + variances_C[other] - 2 * covariances_CC[other]
    leads_C = posterior.means_C - posterior.means_C[other]
    return np.asarray(ndtr(leads_C / np.sqrt(np.maximum(differing_C, 1e-12))))


class Believer:
    """All runs of a study, and of those that it learns from, as a Gaussian process has them; at least
    one run.

    Scores far below the usual are pressed together: that a config is bad is told by a few
    deviations, and more of them would only stretch the scales for those that matter. Those of other
    studies are told as differences to their controls.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        runs: Sequence[Run],
        epochs: int,
        learned: Sequence[Learned] = (),
    ) -> None:
        self.coordinates = coordinates
        every = [*runs, *(run for each in learned for run in each.runs)]
        self.points_ND = points_of(coordinates, [run.values for run in every])
        told = [_carried(runs, epochs)]
        level = self._level(told[0].scores_N, learned)
        for each in learned:
            theirs = _carried(each.runs, each.epochs)
            told.append(replace(theirs, scores_N=theirs.scores_N - each.level + level))
        observed = Observed(
            coordinates.distances(self.points_ND, self.points_ND),
            coordinates.effects(self.points_ND),
            np.concatenate([each.scores_N for each in told]),
            np.concatenate([each.epoch_sds_N for each in told]),
            np.concatenate([each.early_sds_N for each in told]),
            np.repeat(np.arange(len(told)), [len(each.scores_N) for each in told]),
            others=len(learned),
            seed_sd=usual_seed_sd([run.scores_E for run in every if run.whole]),
        )
        scales = Process(observed.some(chosen_for_scales(len(every)))).scales
        self.process = Process(observed, scales)

    def _level(self, scores_N: Floats, learned: Sequence[Learned]) -> float:
        """Return about what the control scores: in its runs, or all, or in the other studies."""
        of_control_N = self._of_control(self.points_ND[: len(scores_N)])
        for some_N in (
            scores_N[of_control_N],
            scores_N,
            np.array([each.level for each in learned]),
        ):
            if some_N.size:
                return float(some_N.mean())
        raise AssertionError("no run")

    def _of_control(self, points_ND: Floats) -> npt.NDArray[np.bool_]:
        return np.asarray((points_ND == self.coordinates.of({})).all(axis=1))

    def believing(self, configs: Sequence[Mapping[str, Value]]) -> "Believer":
        """Return a believer that takes configs as scored as they are expected to, by a run each."""
        expected = self.of(configs)
        points_CD = points_of(self.coordinates, configs)
        seen = self.process.observed
        nothing_C = np.zeros(len(configs))
        after = copy(self)
        after.points_ND = np.concatenate([self.points_ND, points_CD])
        more = Observed(
            self.coordinates.distances(after.points_ND, after.points_ND),
            np.concatenate([seen.effects_NF, self.coordinates.effects(points_CD)]),
            np.concatenate([seen.scores_N, expected.means_C[:-1]]),
            np.concatenate([seen.epoch_sds_N, nothing_C]),
            np.concatenate([seen.early_sds_N, nothing_C]),
            np.concatenate([seen.studies_N, np.zeros(len(configs), np.intp)]),
            seen.others,
            seen.seed_sd,
        )
        after.process = self.process.with_runs(more)
        return after

    def of(self, configs: Sequence[Mapping[str, Value]]) -> Belief:
        """Return what is believed of configs, by their values, and of the control, which is the last
        of them.
        """
        points_CD = points_of(self.coordinates, [*configs, {}])
        squared_CN = self.coordinates.distances(points_CD, self.points_ND)
        squared_CC = self.coordinates.distances(points_CD, points_CD)
        effects_CF = self.coordinates.effects(points_CD)
        posterior = self.process.at(squared_CN, squared_CC, effects_CF)
        return Belief(posterior, len(configs), points_CD)


def _carried(runs: Sequence[Run], epochs: int) -> Carried:
    """Return the runs of one study carried to their end, bad scores pressed together."""
    if not runs:
        return Carried(np.zeros(0), np.zeros(0), np.zeros(0))
    carried = carry([run.scores_E for run in runs], [run.whole for run in runs], epochs)
    return replace(carried, scores_N=pressed(carried.scores_N))


def pressed(scores_N: Floats) -> Floats:
    """Return scores of which those below the usual, the median less one spread, are pressed
    together: ``a - s ln(1 + (a - y) / s)``.
    """
    spread = spread_of(scores_N)
    usual = float(np.median(scores_N)) - spread
    below_N = np.maximum(usual - scores_N, 0.0)
    return np.where(below_N > 0, usual - spread * np.log1p(below_N / spread), scores_N)


def chosen_for_scales(runs: int) -> npt.NDArray[np.intp]:
    """Return the places of the runs by which scales are chosen: all, or as many as may be, evenly."""
    return np.unique(np.linspace(0, runs - 1, min(runs, MOST_FITTED)).round().astype(np.intp))
