"""How far a score may be from that of other places: intervals from resampling places. Imports no
torch.

Frames of one place are alike, so a place is what is drawn, never a frame: all frames of a place
come or stay away together.

A score is made of a fixed set of classes: those that count and that its part holds. A resample that
holds no place with one of them would be made of others, and may lie where the score cannot. Such
resamples are left out where they are few; where a class lies in so few places that they are many,
nothing is known of how it differs from place to place, and there is no interval. Neither is there
with less than ``LEAST_PLACES`` places: intervals of fewer hold far less than they say.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from objectives.statistics.interval import Interval, Unknown
from objectives.statistics.scores import Scoring, iou, measured

Counts = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]

_NORMAL = NormalDist()
LEAST_PLACES = 6  # simulated at 95 %: intervals of 5 hold 92 %, of 4 86 %, of 3 75 %, of 2 53 %
MOST_BLOCKS = 32  # of places, of which it is kept what a network scores without each
# of the resamples, without a class: a class of three places comes to less, one of two to more
_MOST_ABSENT = 0.05
_CELLS = 4_000_000  # how often each place is drawn, over the resamples that are held at once


class Method(StrEnum):
    """How an interval is read off the resamples."""

    BCA = "bca"  # quantiles moved for bias and skewness: Efron 1987
    PERCENTILE = "percentile"  # plain quantiles: Efron 1979


@dataclass(frozen=True)
class Resampled:
    """A score, NaN where there is nothing to score, and its interval over places."""

    value: float
    interval: Interval | Unknown
    # share of the resamples without a class that is scored: they are not in the interval
    absent: float


@dataclass(frozen=True)
class ResampledScores:
    """The score, and the IoU of each class (K), scored or not."""

    mean: Resampled
    classes: tuple[Resampled, ...]
    places: int


@dataclass(frozen=True)
class Resampling:
    """How to resample: equal settings and equal counts give equal intervals."""

    level: float = 0.95
    resamples: int = 2000
    method: Method = Method.BCA
    seed: int = 0


PLAIN = Resampling()


def score_interval(
    confusions_GKK: Counts, scoring: Scoring, how: Resampling = PLAIN
) -> ResampledScores:
    """Return the score of one model and the IoU of each class with intervals, from one confusion matrix per place (rows are
    true labels), in pixels.

    Source: Efron 1979 (Bootstrap Methods: Another Look at the Jackknife); whole clusters drawn with
    replacement: Davison and Hinkley 1997 (Bootstrap Methods and Their Application), section 3.8.
    """
    return _resample(_Sums.of(confusions_GKK), scoring, how)


def score_covariances(models_MGKK: Counts, scoring: Scoring) -> Floats:
    """Return the covariances (M, M) of the scores of M models, were their places others, from
    confusion matrices of the same places, at least two. What all models find hard moves their scores
    together and cancels in differences.

    Source: the jackknife, Efron and Tibshirani 1993 (An Introduction to the Bootstrap), equation
    11.5, for several statistics of the same observations.
    """
    return covariances_of(np.stack([left_out_scores(each, scoring) for each in models_MGKK]))


def left_out_scores(confusions_GKK: Counts, scoring: Scoring) -> Floats:
    """Return the score (G,) without each place in turn, from a confusion matrix for each of G of them,
    or blocks of places: see `blocks_of`.
    """
    return _Sums.of(confusions_GKK).without_each().scores(scoring)[:, 0]


def covariances_of(left_out_MG: Floats) -> Floats:
    """Return what `score_covariances` does, from the scores (M, G) of each model without each place."""
    places = left_out_MG.shape[1]
    away_MG = np.nan_to_num(left_out_MG - np.nanmean(left_out_MG, axis=1, keepdims=True))
    return np.asarray((places - 1) / places * away_MG @ away_MG.T)


def blocks_of(places_N: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the block (N,), from 0, of each frame by its place: each place a block of its own, or where
    there are more than ``MOST_BLOCKS``, as many of them in each as can be.

    Source: Kott 2001 (The Delete-a-Group Jackknife): what leaving out one block of G in turn says of a
    deviation is off by about ``1 / sqrt(2 G)`` of it.
    """
    _, place_of_N = np.unique(places_N, return_inverse=True)
    return np.asarray(place_of_N, dtype=np.int64) % MOST_BLOCKS


@dataclass(frozen=True)
class _Sums:
    """All that scores need of B sets of places, which adds up over them: pixels of each class that
    are right, true, or predicted.
    """

    hits_BK: Floats
    true_BK: Floats
    predicted_BK: Floats

    @classmethod
    def of(cls, confusions_GKK: Counts) -> Self:
        """Return each place by itself."""
        hits = confusions_GKK.diagonal(axis1=1, axis2=2).astype(np.float64)
        true = confusions_GKK.sum(axis=2).astype(np.float64)
        return cls(hits, true, confusions_GKK.sum(axis=1).astype(np.float64))

    def drawn(self, times_BG: Floats) -> Self:
        """Sets that hold each place so many times; exact, as counts of pixels are below 2^53."""
        return type(self)(
            times_BG @ self.hits_BK, times_BG @ self.true_BK, times_BG @ self.predicted_BK
        )

    def without_each(self) -> Self:
        """Return all places but one, for each in turn."""
        hits, true, predicted = (
            each.sum(axis=0) - each for each in (self.hits_BK, self.true_BK, self.predicted_BK)
        )
        return type(self)(hits, true, predicted)

    def scores(self, scoring: Scoring) -> Floats:
        """Return the score, then the IoU of each class; NaN where nothing is; (B, 1 + K)."""
        counts = self.hits_BK, self.true_BK, self.predicted_BK
        iou_BK = measured(iou, *counts)
        own_BK = iou_BK if scoring.measure is iou else measured(scoring.measure, *counts)
        return np.concatenate([scoring.over(own_BK)[:, None], iou_BK], axis=1)


def _resample(model: _Sums, scoring: Scoring, how: Resampling) -> ResampledScores:
    assert 0.0 < how.level < 1.0, how.level
    places = len(model.hits_BK)
    value = model.drawn(np.ones((1, places))).scores(scoring)[0]
    holds_GK = (model.true_BK > 0).astype(np.float64)
    present = [label for label in scoring.counting if holds_GK[:, label].any()]
    drawn = []
    whole = []
    for times_BG in _times(places, how):
        drawn.append(model.drawn(times_BG).scores(scoring))
        whole.append(((times_BG @ holds_GK)[:, present] > 0).all(axis=1))
    drawn_BS = np.concatenate(drawn)
    whole_B = np.concatenate(whole)
    drawn_BS[~whole_B, 0] = np.nan
    left_out = model.without_each().scores(scoring)
    intervals = [
        _resampled(float(value[i]), drawn_BS[:, i], left_out[:, i], how) for i in range(len(value))
    ]
    mean = intervals[0]
    if isinstance(mean.interval, Interval) and mean.absent > _MOST_ABSENT:
        rarest = min(present, key=lambda label: holds_GK[:, label].sum())
        reason = (
            f"label {rarest} lies in {holds_GK[:, rarest].sum():.0f} of {places} places, too "
            f"few to tell how they differ"
        )
        mean = replace(mean, interval=Unknown(reason))
    return ResampledScores(mean, tuple(intervals[1:]), places)


def _times(places: int, how: Resampling) -> Iterator[Floats]:
    """Yield how often each resample holds each place, (B, G), some resamples at a time."""
    generator = np.random.default_rng(how.seed)
    at_once = max(1, _CELLS // max(1, places))
    for start in range(0, how.resamples, at_once):
        picks = generator.integers(0, places, (min(at_once, how.resamples - start), places))
        cells = picks + places * np.arange(len(picks))[:, None]
        yield (
            np.bincount(cells.ravel(), minlength=picks.size).reshape(picks.shape).astype(np.float64)
        )


def _resampled(value: float, drawn_B: Floats, left_out_G: Floats, how: Resampling) -> Resampled:
    known = drawn_B[~np.isnan(drawn_B)]
    absent = 1.0 - len(known) / len(drawn_B)
    if len(left_out_G) < LEAST_PLACES:
        few = "one place" if len(left_out_G) == 1 else f"{len(left_out_G)} places"
        return Resampled(
            value,
            Unknown(f"{few}: too few to tell how places differ, {LEAST_PLACES} are needed"),
            absent,
        )
    if np.isnan(value) or not len(known):
        return Resampled(value, Unknown("the class does not occur"), absent)
    tails = _tails(how.level, len(left_out_G))
    if how.method is Method.BCA:
        tails = _moved(tails, value, known, left_out_G)
    low, high = np.quantile(known, tails).tolist()
    return Resampled(value, Interval(low, high, how.level), absent)


def _tails(level: float, places: int) -> tuple[float, float]:
    """Return the quantiles of an interval of this level, further out the fewer places there are:
    resamples of few spread too little.

    Source: Hesterberg 2015 (What Teachers Should Know About the Bootstrap), the expanded percentile
    interval: as far out as the t interval of a mean is.
    """
    reach = math.sqrt(places / (places - 1)) * float(stdtrit(places - 1, (1.0 + level) / 2.0))
    return _NORMAL.cdf(-reach), _NORMAL.cdf(reach)


def _moved(
    tails: tuple[float, float], value: float, drawn_B: Floats, left_out_G: Floats
) -> tuple[float, float]:
    """Return the quantiles of the resamples that bias-corrected, accelerated intervals take in the
    place of ``tails``.

    Resamples that equal the value count half, as scores of few places have ties.

    Source: Efron 1987 (Better Bootstrap Confidence Intervals), section 2; as in Efron and
    Tibshirani 1993 (An Introduction to the Bootstrap), equations 14.10, 14.14 and 14.15 (the
    acceleration from the jackknife).
    """
    tie = 1e-12  # scores are about 1: a difference of two equal ones may be off by a rounding
    below = np.mean(drawn_B < value - tie) + 0.5 * np.mean(np.abs(drawn_B - value) <= tie)
    bias = _NORMAL.inv_cdf(min(max(float(below), 0.5 / len(drawn_B)), 1.0 - 0.5 / len(drawn_B)))
    acceleration = _acceleration(left_out_G[~np.isnan(left_out_G)])
    return _moved_tail(tails[0], bias, acceleration), _moved_tail(tails[1], bias, acceleration)


def _moved_tail(tail: float, bias: float, acceleration: float) -> float:
    if not 0.0 < tail < 1.0:  # so far out that it rounds to the outermost resample
        return tail
    shifted = bias + _NORMAL.inv_cdf(tail)
    room = 1.0 - acceleration * shifted
    if room <= 0.0:  # beyond the pole: the outermost resample
        return float(shifted > 0.0)
    return _NORMAL.cdf(bias + shifted / room)


def _acceleration(left_out_G: Floats) -> float:
    away = left_out_G.mean() - left_out_G if len(left_out_G) else left_out_G
    spread = float((away**2).sum()) ** 1.5
    return float((away**3).sum()) / (6.0 * spread) if spread > 0.0 else 0.0
