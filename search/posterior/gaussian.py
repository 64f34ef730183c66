"""A Gaussian process over configs that knows how noisy a run is, and falls away from the control
until the runs say otherwise.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular

from search.posterior.carried import SEED_SD

Floats = npt.NDArray[np.float64]

LEAST_SPREAD = 0.02  # of scores
LEVEL_SD = 0.1  # of the level of all scores, around their mean
LENGTHS = (0.5, 1.0, 2.0)  # times the base, which is 0.7 of a field's range for 6 fields
AMPLITUDES = (
    0.5,
    1.0,
    2.0,
)  # times the usual one: half the spread, or a third of the best one's lead
SEED_SDS = (0.25, 0.45, 0.7, 1.0, 1.5, 2.5, 5.0, 10.0)  # times the usual one
# how alike another study is: the correlation of what its configs do with what they do here, the
# first of which is taken as long as no run says otherwise; 0 switches it off
LIKENESSES = (0.8, 0.95, 0.5, 0.0)
LENGTH_VARIANCE, AMPLITUDE_VARIANCE, SEED_VARIANCE = 0.8, 0.25, 0.2  # of their logarithms, a priori
JITTER = 1e-8


@dataclass(frozen=True)
class Observed:
    """Runs: what a Gaussian process is told of each of N.

    ``squared_NN`` are the squared distances of their configs, ``effects_NF`` what each field does by
    itself (see `Coordinates.effects`; first of all how far from the control a config is),
    ``early_sds_N`` and ``epoch_sds_N`` as in `Carried`. ``studies_N`` are 0 for runs of the study
    itself, then 1 to ``others`` for those of each study that it learns from. ``seed_sd`` is what
    seeds usually move a score by (`usual_seed_sd`), before repeated runs say more.
    """

    squared_NN: Floats
    effects_NF: Floats
    scores_N: Floats
    epoch_sds_N: Floats
    early_sds_N: Floats
    studies_N: npt.NDArray[np.intp]
    others: int = 0
    seed_sd: float = SEED_SD

    def some(self, which: npt.NDArray[np.intp]) -> "Observed":
        """Return some of the runs, by their places."""
        return Observed(
            self.squared_NN[np.ix_(which, which)],
            self.effects_NF[which],
            self.scores_N[which],
            self.epoch_sds_N[which],
            self.early_sds_N[which],
            self.studies_N[which],
            self.others,
            self.seed_sd,
        )


@dataclass(frozen=True)
class Scales:
    """What the marginal likelihood chooses: the distance beyond which configs say little of each
    other, the amplitude of what differs between them, the deviation by seed, and how alike each of
    the other studies is.
    """

    length: float
    amplitude: float
    seed_sd: float
    likenesses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Posterior:
    """What is believed of C configs: means (C,) and covariances (C, C) of their true scores, which
    are means over seeds.
    """

    means_C: Floats
    covariances_CC: Floats

    @property
    def sds_C(self) -> Floats:
        """Deviations (C,)."""
        return np.asarray(np.sqrt(np.maximum(np.diagonal(self.covariances_CC), 0.0)))


def matern(squared_NM: Floats) -> Floats:
    """Return the correlation at squared distances.

    Source: Rasmussen and Williams 2006 (Gaussian Processes for Machine Learning), equation 4.17.
    """
    scaled_NM = np.sqrt(5.0 * np.maximum(squared_NM, 0.0))
    return np.asarray((1.0 + scaled_NM + scaled_NM**2 / 3.0) * np.exp(-scaled_NM))


class Process:
    """A Gaussian process, fitted to runs.

    The score of a config is a level, less a fall away from the control, plus what each field does by
    itself, plus what differs smoothly between configs; a run adds its seed's luck, its epochs' jumps,
    and what an early look gets wrong, which is smooth over configs, too. The level, the fall and the
    fields' effects have normal priors, the latter ones a deviation of one spread of the scores, and
    are integrated out: Rasmussen and Williams 2006, equations 2.39 to 2.41. Of the fall alone one
    spread is expected before a run says anything. Scales are chosen from short lists by the logarithm
    of the marginal likelihood (their equation 5.8) and of priors that are normal in their logarithms:
    so equal runs give equal scales on every machine. One length is for all fields: what single fields
    do is told by their effects, and a length for each has told the recorded tables no better.

    Another study that it learns from has a level of its own, and what configs do there is correlated
    with what they do here by one number: with a likeness of 0 it says nothing. Source: Bonilla et al.
    2007 (Multi-task Gaussian Process Prediction), equation 1, with a task matrix of one factor.
    """

    def __init__(
        self,
        observed: Observed,
        scales: Scales | None = None,
        level: float | None = None,
        spread: float | None = None,
    ) -> None:
        self.observed = observed
        self.level = float(np.mean(observed.scores_N)) if level is None else level
        self.spread = spread_of(observed.scores_N) if spread is None else spread
        # a single config far above all others is no noise
        lead = float(observed.scores_N.max() - np.median(observed.scores_N))
        self.usual = max(self.spread / 2.0, lead / 3.0)  # amplitude, a priori
        # half of the effects but the first are of fields
        fields = (observed.effects_NF.shape[1] - 1) // 2
        self.base = 0.7 * (max(fields, 1) / 6.0) ** 0.5
        self._residuals_N = observed.scores_N - self._expected(observed.effects_NF)
        self._same_NN = np.equal.outer(observed.studies_N, observed.studies_N).astype(float)
        self._whatever: dict[tuple[float, ...], tuple[Floats, Floats]] = {}
        self.scales = scales or self._chosen()
        alike_NN = self._alike_NN(self.scales.length)
        self._lower_NN = np.linalg.cholesky(self._covariance_NN(alike_NN, self.scales))
        self._weights_N = cho_solve((self._lower_NN, True), self._residuals_N)

    def at(self, squared_CN: Floats, squared_CC: Floats, effects_CF: Floats) -> Posterior:
        """Return the posterior of C configs, from their squared distances to the runs' configs and
        among each other, and their fields' effects.

        Source: Rasmussen and Williams 2006, equations 2.23 and 2.24.
        """
        seen = self.observed
        across_CN = self._between(squared_CN, effects_CF, seen.effects_NF, seen.studies_N)
        here_C = np.zeros(len(effects_CF), np.intp)
        prior_CC = self._between(squared_CC, effects_CF, effects_CF, here_C)
        means_C = self._expected(effects_CF) + across_CN @ self._weights_N
        half_NC = solve_triangular(self._lower_NN, across_CN.T, lower=True)
        return Posterior(means_C, prior_CC - half_NC.T @ half_NC)

    def with_runs(self, observed: Observed) -> "Process":
        """Return this process fitted to other runs, whose scales, level and spread stay."""
        return Process(observed, self.scales, self.level, self.spread)

    def log_evidence(self, scales: Scales) -> float:
        """Return the logarithm of the marginal likelihood of the runs, the levels and the fall
        integrated out.
        """
        return self._log_evidence(self._alike_NN(scales.length), scales)

    def _log_evidence(self, alike_NN: Floats, scales: Scales) -> float:
        covariance_NN = self._covariance_NN(alike_NN, scales)
        lower_NN = np.linalg.cholesky(covariance_NN)
        half_N = solve_triangular(lower_NN, self._residuals_N, lower=True)
        return float(
            -0.5 * half_N @ half_N
            - np.log(np.diagonal(lower_NN)).sum()
            - 0.5 * len(half_N) * np.log(2.0 * np.pi)
        )

    def _chosen(self) -> Scales:
        """Return the scales of the highest marginal likelihood with their priors: of all on the lists,
        then the likeness of each other study, then with these of all on the lists again.
        """
        chosen = self._of_the_lists((LIKENESSES[0],) * self.observed.others)
        if not self.observed.others:
            return chosen
        alike_NN = self._alike_NN(chosen.length)
        for place in range(self.observed.others):
            before, after = chosen.likenesses[:place], chosen.likenesses[place + 1 :]
            tried = [replace(chosen, likenesses=(*before, each, *after)) for each in LIKENESSES]
            chosen = max(tried, key=lambda scales: self._log_evidence(alike_NN, scales))
        return self._of_the_lists(chosen.likenesses)

    def _of_the_lists(self, likenesses: tuple[float, ...]) -> Scales:
        found: list[tuple[float, Scales]] = []
        for length in LENGTHS:
            alike_NN = self._alike_NN(length * self.base)
            for amplitude, seed in product(AMPLITUDES, SEED_SDS):
                tried = Scales(
                    length * self.base,
                    amplitude * self.usual,
                    seed * self.observed.seed_sd,
                    likenesses,
                )
                evidence = self._log_evidence(alike_NN, tried) + self._log_prior(tried)
                found.append((evidence, tried))
        return max(found, key=lambda each: each[0])[1]

    def _log_prior(self, scales: Scales) -> float:
        length = np.log(scales.length / self.base) ** 2 / LENGTH_VARIANCE
        amplitude = np.log(scales.amplitude / self.usual) ** 2 / AMPLITUDE_VARIANCE
        seed = np.log(scales.seed_sd / self.observed.seed_sd) ** 2 / SEED_VARIANCE
        return float(-0.5 * (length + amplitude + seed))

    def _alike_NN(self, length: float) -> Floats:
        return matern(self.observed.squared_NN / length**2)

    def _whatever_scales(self, likenesses: tuple[float, ...]) -> tuple[Floats, Floats]:
        """Return the part of the runs' covariance (N, N) that no other scale changes, and how alike
        their studies are.
        """
        if likenesses not in self._whatever:
            seen = self.observed
            shared_NN = _shared(likenesses, seen.studies_N, seen.studies_N)
            alike_NN = self._alike_NN(self.base)
            effects_NN = self.spread**2 * (seen.effects_NF @ seen.effects_NF.T)
            fixed_NN = LEVEL_SD**2 * self._same_NN + effects_NN * shared_NN
            fixed_NN += np.outer(seen.early_sds_N, seen.early_sds_N) * alike_NN * self._same_NN
            fixed_NN += np.diag(seen.epoch_sds_N**2 + JITTER)
            self._whatever[likenesses] = fixed_NN, shared_NN
        return self._whatever[likenesses]

    def _covariance_NN(self, alike_NN: Floats, scales: Scales) -> Floats:
        fixed_NN, shared_NN = self._whatever_scales(scales.likenesses)
        covariance_NN = fixed_NN + scales.amplitude**2 * alike_NN * shared_NN
        covariance_NN[np.diag_indices_from(covariance_NN)] += scales.seed_sd**2
        return covariance_NN

    def _expected(self, effects_AF: Floats) -> Floats:
        """Return what is expected of configs before a run says anything but the level."""
        return np.asarray(self.level - self.spread * effects_AF[:, 0])

    def _between(
        self,
        squared_AB: Floats,
        effects_AF: Floats,
        effects_BF: Floats,
        studies_B: npt.NDArray[np.intp],
    ) -> Floats:
        """Return the prior covariance of the true scores of configs here and of those of studies."""
        here_A = np.zeros(len(effects_AF), np.intp)
        shared_AB = _shared(self.scales.likenesses, here_A, studies_B)
        smooth_AB = self.scales.amplitude**2 * matern(squared_AB / self.scales.length**2)
        effects_AB = self.spread**2 * (effects_AF @ effects_BF.T)
        level_AB = LEVEL_SD**2 * np.equal.outer(here_A, studies_B)
        return np.asarray(smooth_AB * shared_AB + level_AB + effects_AB * shared_AB)


def _shared(
    likenesses: tuple[float, ...],
    studies_A: npt.NDArray[np.intp],
    studies_B: npt.NDArray[np.intp],
) -> Floats:
    """Return the correlations (A, B) of runs' studies: 1 in the same, that of another one with this
    one its likeness, and that of two others the product of theirs.
    """
    with_this = np.array([1.0, *likenesses])
    apart_AB = np.outer(with_this[studies_A], with_this[studies_B])
    return np.where(np.equal.outer(studies_A, studies_B), 1.0, apart_AB)


def spread_of(scores_N: Floats) -> float:
    """Return a deviation of scores that a few bad ones do not move: half of what lies between their
    16th and 84th percentile.
    """
    low, high = np.quantile(scores_N, [0.16, 0.84])
    return max(float(high - low) / 2.0, LEAST_SPREAD)
