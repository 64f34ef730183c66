"""By how much the best score of a study is likely too high, estimated from the study's own curves: for a
model nobody confirmed.

Two things lift the best score: it is the highest of its trial's epochs, and its trial is the
highest of many. The first shows in the trial's own curve. For the second one must know how far a
score moves when a trial is trained again, which no single training shows. Unless that was measured,
a new training is taken to differ as neighbouring late epochs do, and the estimate says so: where
seeds move scores more than epochs do, which is common, it is too low.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from objectives.statistics.interval import Unknown

Floats = npt.NDArray[np.float64]

FEWEST_TRIALS = 5
FEWEST_EPOCHS = 5
_STEPS_PER_DEVIATION = 4  # of the grid of true levels
_GRID = (50, 400)
_ROUNDS = 1000


@dataclass(frozen=True)
class LikeEpochs:
    """A new training is taken to move a score as much as late epochs of one training differ. It
    often moves it more.
    """


@dataclass(frozen=True)
class MeasuredNoise:
    """How much a new training moves a score, as seen on configurations that were trained more than
    once.
    """

    deviation: float  # standard deviation of a score


SeedNoise = LikeEpochs | MeasuredNoise
LIKE_EPOCHS = LikeEpochs()


@dataclass(frozen=True)
class Optimism:
    """How much lower than the best score its trial is expected to be, trained again and scored at
    an epoch nobody chose.
    """

    value: float  # of_epochs + of_trials, at least 0
    of_epochs: float  # from taking the best epoch of the trial
    of_trials: float  # from taking the best of the trials
    basis: str  # what it rests on, for people


def optimism(
    histories: Sequence[Sequence[float]], seed_noise: SeedNoise = LIKE_EPOCHS
) -> Optimism | Unknown:
    """Return the estimate from the scores of each epoch, one history for each complete trial.

    Trials of fewer than FEWEST_EPOCHS epochs play no part.
    """
    known = [
        np.array([score for score in history if not math.isnan(score)], dtype=np.float64)
        for history in histories
    ]
    known = [history for history in known if len(history)]
    curves = sorted(
        (_Curve(history) for history in known if len(history) >= FEWEST_EPOCHS),
        key=lambda curve: -curve.best,
    )
    if len(curves) < FEWEST_TRIALS:
        return Unknown(
            f"{len(curves)} complete trials of at least {FEWEST_EPOCHS} epochs: {FEWEST_TRIALS} "
            f"are needed"
        )
    if max(float(history.max()) for history in known) > curves[0].best:
        return Unknown(f"the best trial has fewer than {FEWEST_EPOCHS} epochs")
    epoch_variance = _epoch_variance(curves[: max(FEWEST_TRIALS, len(curves) // 2)])
    variances = np.array(
        [
            curve.level_factor * epoch_variance + _variance(seed_noise, epoch_variance)
            for curve in curves
        ]
    )
    levels = np.array([curve.level for curve in curves])
    of_trials = max(0.0, float(levels[0] - true_means(levels, variances)[0]))
    of_epochs = max(0.0, curves[0].best - curves[0].level)
    return Optimism(
        of_epochs + of_trials,
        of_epochs,
        of_trials,
        _basis(len(curves), float(np.sqrt(epoch_variance)), seed_noise),
    )


def true_means(values_N: Floats, variances_N: Floats) -> Floats:
    """Return what each of some noisy values is expected to be without its normal noise; variances
    are those of the noise.

    Nothing is assumed of how the true values are spread: searches have a long tail of bad trials,
    and a crowd just below what the data allows, which one normal distribution would miss. Their
    distribution is the one that makes the values likeliest. For the highest value the pull is 0.8
    to 1.5 of the true one in simulations of 8 to 60 trials.

    Source: Kiefer and Wolfowitz 1956 (Consistency of the Maximum Likelihood Estimator in the
    Presence of Infinitely Many Incidental Parameters); the means: Jiang and Zhang 2009 (General
    Maximum Likelihood Empirical Bayes Estimation of Normal Means), equations 2.1 and 2.9, by
    expectation-maximisation over a grid as Laird 1978 (Nonparametric Maximum Likelihood Estimation
    of a Mixing Distribution). An empirical-Bayes form of Efron and Morris 1975 (Data Analysis Using
    Stein's Estimator and Its Generalizations); why it answers for a chosen maximum: Efron 2011
    (Tweedie's Formula and Selection Bias).
    """
    width = float(np.ptp(values_N))
    if width == 0.0 or not (variances_N > 0.0).all():
        return values_N
    points = int(np.clip(_STEPS_PER_DEVIATION * width / np.sqrt(variances_N.min()), *_GRID))
    grid_A = np.linspace(values_N.min(), values_N.max(), points)
    log_NA = -0.5 * (values_N[:, None] - grid_A) ** 2 / variances_N[:, None]
    likelihood_NA = np.exp(log_NA - log_NA.max(axis=1, keepdims=True))
    weight_A = np.full(points, 1.0 / points)
    for _ in range(_ROUNDS):
        share_NA = likelihood_NA * weight_A
        share_NA /= share_NA.sum(axis=1, keepdims=True)
        weight_A = share_NA.mean(axis=0)
    share_NA = likelihood_NA * weight_A
    means: Floats = share_NA @ grid_A / share_NA.sum(axis=1)
    return means


class _Curve:
    """A learning curve: its best score, and the level about which the epochs around that one move.

    The level is a straight line's, fitted to the last third of the epochs where the best one lies
    in it, else to as many around the best one, at the best one. It holds the best epoch itself, as
    all from which the best was taken must be in it.
    """

    def __init__(self, scores_E: Floats) -> None:
        epochs = len(scores_E)
        best = int(np.argmax(scores_E))
        width = max(FEWEST_EPOCHS, epochs // 3)
        start = epochs - width if best >= epochs - width else max(0, best - width // 2)
        self.window = scores_E[start : start + width]
        self.best = float(scores_E[best])
        time = np.arange(width) - (width - 1) / 2.0
        place = time[best - start]
        slope = time @ self.window / (time @ time)
        self.level = float(self.window.mean() + slope * place)
        self.level_factor = float(1.0 / width + place**2 / (time @ time))


def _epoch_variance(curves: Sequence[_Curve]) -> float:
    """Return how much scores of neighbouring epochs differ, trends apart: the variance of one, from
    second differences.

    Of the better half of the trials: a diverging one must not speak for the best.

    Source: Gasser, Sroka and Jennen-Steinmetz 1986 (Residual Variance and Residual Pattern in
    Nonlinear Regression), section 2.
    """
    bends = np.concatenate([np.diff(curve.window, 2) for curve in curves])
    return float((bends**2).mean()) / 6.0


def _variance(seed_noise: SeedNoise, epoch_variance: float) -> float:
    match seed_noise:
        case LikeEpochs():
            return epoch_variance
        case MeasuredNoise(deviation=deviation):
            return deviation**2
        case _:
            assert_never(seed_noise)


def _basis(trials: int, epoch_noise: float, seed_noise: SeedNoise) -> str:
    sentence = (
        f"from the curves of {trials} complete trials, whose late epochs differ by about "
        f"{epoch_noise:.4f} (standard deviation)"
    )
    match seed_noise:
        case LikeEpochs():
            assumed = (
                "training again is taken to move a score as much, though it may move it "
                "more: then the estimate is too low"
            )
            return f"{sentence}; {assumed}"
        case MeasuredNoise(deviation=deviation):
            return (
                f"{sentence}, and from how much training again was seen to move a score, about "
                f"{deviation:.4f}"
            )
        case _:
            assert_never(seed_noise)
