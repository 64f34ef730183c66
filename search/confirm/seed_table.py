"""Scores of candidates by seed as a two-way table: means freed of the seeds, and how much seeds
move them. Pure arithmetic.

A column is a seed, or a validation part that some seeds share: what is said of seeds here holds for
either.

The model of the table: score = candidate's mean + effect of the seed (the same for every candidate
that was trained with it: its parts of the data, mostly) + noise. The noise has one variance for all
candidates. With two or three seeds the spread of one candidate says next to nothing, that of all
candidates together enough. Where the candidates' noise differs much, the intervals of calm ones are
too wide and those of wild ones too narrow.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


_ROUNDING = 1e-20  # scores lie in 0..1: a smaller variance is none


@dataclass(frozen=True)
class Variance:
    """A variance and how many degrees of freedom it was estimated with; 0: it is not known."""

    value: float
    degrees: float

    def __post_init__(self) -> None:
        assert self.value >= 0.0, self.value
        assert self.degrees >= 0.0, self.degrees


UNKNOWN_VARIANCE = Variance(0.0, 0.0)


@dataclass(frozen=True)
class MeanEstimate:
    """A mean or a difference of means; its variance is ``factor`` times that of one score.
    Infinite: it is unknown.
    """

    value: float
    factor: float


@dataclass(frozen=True)
class SeedTable:
    """Scores (C, S) of candidates by seed, NaN where a run failed; every row and column holds a
    score.
    """

    scores_CS: Floats

    @property
    def known_CS(self) -> npt.NDArray[np.bool_]:
        """Where there is a score."""
        return ~np.isnan(self.scores_CS)

    def mean(self, candidate: int) -> MeanEstimate:
        """Return a candidate's mean over all seeds, as if it had been trained with each.

        Where a run is missing, the seed's effect comes from the other candidates (without it, a
        candidate would gain by failing with a hard seed). Where nothing ties them together, it is
        the plain mean of what is there.

        Source: Searle 1971 (Linear Models), chapter 7: the least-squares estimate in the additive
        two-way table.
        """
        candidates, seeds = self.scores_CS.shape
        estimate = self._estimate(
            np.concatenate([np.eye(candidates)[candidate], np.full(seeds, 1.0 / seeds)])
        )
        if math.isfinite(estimate.factor):
            return estimate
        own = self.scores_CS[candidate][self.known_CS[candidate]]
        return MeanEstimate(float(own.mean()), 1.0 / len(own))

    def difference(self, first: int, second: int) -> MeanEstimate:
        """Mean of one candidate minus that of another, on the same seeds: their effects cancel.

        Source: as `mean`. In a full table it is the mean of the paired differences, with factor 2 /
        S.
        """
        candidates, seeds = self.scores_CS.shape
        one = np.eye(candidates)
        return self._estimate(np.concatenate([one[first] - one[second], np.zeros(seeds)]))

    def noise(self) -> Variance:
        """Return the variance of the noise, seeds' effects apart: the residual mean square of the
        additive model.

        Source: Scheffé 1959 (The Analysis of Variance), section 4.2.
        """
        y, design, inverse = self._equations
        degrees = len(y) - int(np.linalg.matrix_rank(design))
        if degrees < 1:
            return UNKNOWN_VARIANCE
        residual = y - design @ (inverse @ y)
        variance = float(residual @ residual) / degrees
        return Variance(variance if variance > _ROUNDING else 0.0, float(degrees))

    def spread(self) -> Variance:
        """Return the variance of a score of one candidate from seed to seed: that of the seeds'
        effects and the noise together.

        The pooled variance within candidates. Candidates share their seeds, so its degrees of
        freedom lie between those of the seeds and those of all scores; they are estimated.

        Source: Satterthwaite 1946 (An Approximate Distribution of Estimates of Variance
        Components), for the sums of squares of seeds and of residuals.
        """
        away = self.scores_CS - np.nanmean(self.scores_CS, axis=1, keepdims=True)
        degrees = int(self.known_CS.sum()) - len(self.scores_CS)
        within = float(np.nansum(away**2))
        noise = self.noise()
        seeds = self.scores_CS.shape[1] - 1
        if degrees < 1:
            return UNKNOWN_VARIANCE
        of_noise = min(noise.value * noise.degrees, within)
        of_seeds = within - of_noise
        seed_degrees = degrees - noise.degrees
        shares = (of_seeds**2 / seed_degrees if seed_degrees else 0.0) + (
            of_noise**2 / noise.degrees if noise.degrees else 0.0
        )
        return Variance(
            within / degrees, within**2 / shares if shares > 0.0 else float(min(seeds, degrees))
        )

    def _estimate(self, contrast: Floats) -> MeanEstimate:
        y, design, inverse = self._equations
        if not np.allclose(contrast @ inverse @ design, contrast, atol=1e-9):
            return MeanEstimate(math.nan, math.inf)
        weights = contrast @ inverse
        return MeanEstimate(float(weights @ y), float(weights @ weights))

    @cached_property
    def _equations(self) -> tuple[Floats, Floats, Floats]:
        """Return the scores (N,), the additive model's design (N, C + S) and its pseudo-inverse."""
        candidate, seed = np.nonzero(self.known_CS)
        candidates, seeds = self.scores_CS.shape
        design = np.concatenate([np.eye(candidates)[candidate], np.eye(seeds)[seed]], axis=1)
        return self.scores_CS[candidate, seed], design, np.linalg.pinv(design)
