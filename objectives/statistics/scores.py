"""Scores of classes from counts of pixels: IoU, precision, recall, Dice; and what a study's score makes
of one of them. Imports no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

import numpy as np
import numpy.typing as npt

from objectives.statistics.together import Together

Counts = npt.NDArray[np.integer]
Pixels = npt.NDArray[np.integer] | npt.NDArray[np.floating]
Fractions = npt.NDArray[np.float64]


class Measure(Protocol):
    """The score of a class, a fraction in 0..1 of which more is better, from its pixels."""

    def __call__(self, hits: Pixels, true: Pixels, predicted: Pixels) -> Fractions:
        """Return the fraction of each class: of so many pixels that are ``true``, more than 0, so
        many that are ``predicted``, and so many ``hits``, which are both; arrays (N,) of whole
        numbers or floats, one class by itself each: they may be of many sets of frames at once.
        """


def iou(hits: Pixels, true: Pixels, predicted: Pixels) -> Fractions:
    """Return intersection over union: TP / (TP + FP + FN).

    Source: Everingham et al. 2015 (The Pascal Visual Object Classes Challenge: A Retrospective),
    segmentation accuracy.
    """
    return np.asarray(hits / (true + predicted - hits))


def precision(hits: Pixels, true: Pixels, predicted: Pixels) -> Fractions:
    """Return TP / (TP + FP); 0 for a class that is never predicted.

    Source: van Rijsbergen 1979 (Information Retrieval), chapter 7.
    """
    return np.asarray(hits / np.maximum(predicted, 1))


def recall(hits: Pixels, true: Pixels, predicted: Pixels) -> Fractions:
    """Return TP / (TP + FN).

    Source: van Rijsbergen 1979 (Information Retrieval), chapter 7.
    """
    return np.asarray(hits / true)


def dice(hits: Pixels, true: Pixels, predicted: Pixels) -> Fractions:
    """Return 2 TP / (2 TP + FP + FN).

    Source: Dice 1945 (Measures of the Amount of Ecologic Association Between Species), coincidence
    index.
    """
    return np.asarray(2 * hits / (true + predicted))


@dataclass(frozen=True)
class Scoring:
    """What a score is: a measure of those labels that count and occur in the truth, put together.

    Labels that count have a weight above 0 each in ``weights``; there are none where all that are
    ``scored``, and so predicted, count alike. ``together`` is their mean, by the weights of those that
    occur, or the least. Where ``boundary`` is above 0, confusion matrices are of the pixels so near
    contours alone, as a share of the frame's diagonal, with one label more: of pixels that are not.
    """

    scored: tuple[int, ...]
    measure: Measure = iou
    weights: tuple[tuple[int, float], ...] = ()
    together: Together = "mean"
    boundary: float = 0.0

    @property
    def counting(self) -> tuple[int, ...]:
        """The labels that count."""
        return tuple(label for label, _ in self.weights) or self.scored

    def of(self, confusion_KK: Counts) -> float:
        """Return the score of a set of frames, or of a single one, from its confusion matrix; NaN
        when no label that counts occurs.
        """
        return float(self.over(self.by_class(confusion_KK)))

    def by_class(self, confusion_KK: Counts) -> Fractions:
        """Return the measure of every class, scored or not, (K,); NaN where it does not occur."""
        return measured(self.measure, *_counts(confusion_KK))

    def over(self, fractions_K: Fractions) -> Fractions:
        """Return the score (...) of measures of every class (..., K), NaN of those that do not occur;
        NaN when none that counts does.
        """
        values_C = fractions_K[..., list(self.counting)]
        weights_C = np.array([weight for _, weight in self.weights] or [1.0])
        known_C = ~np.isnan(values_C)
        match self.together:
            case "mean":
                total = np.where(known_C, values_C * weights_C, 0.0).sum(axis=-1)
                weight = np.where(known_C, weights_C, 0.0).sum(axis=-1)
                none = np.full(weight.shape, np.nan)
                return np.asarray(np.divide(total, weight, out=none, where=weight > 0))
            case "least":
                least = np.where(known_C, values_C, np.inf).min(axis=-1)
                return np.where(known_C.any(axis=-1), least, np.nan)
            case _:
                assert_never(self.together)

    def renumbered(self) -> "Scoring":
        """Return the same of measures of the scored labels alone, in their order."""
        place = {label: number for number, label in enumerate(self.scored)}
        weights = tuple((place[label], weight) for label, weight in self.weights)
        return replace(self, scored=tuple(place.values()), weights=weights)


@dataclass(frozen=True)
class ClassScores:
    """Scores of every class, arrays (..., K): one confusion matrix gives (K,), a stack of G
    matrices gives (G, K).

    The four fractions lie in 0..1 and are NaN together, where no labelled pixel is of the class. So
    which classes a mean is over is decided by the truth alone, and is the same for every model: one
    stray pixel of an absent class costs the class that is there, a pixel's worth, and not a whole
    class. A class that occurs and is never predicted has precision 0.
    """

    iou: Fractions
    precision: Fractions
    recall: Fractions
    dice: Fractions
    support: npt.NDArray[np.int64]  # labelled pixels of the class


def class_scores(confusion_KK: Counts) -> ClassScores:
    """Return the scores of a confusion matrix (..., K, K): rows are true labels, columns predicted
    ones, in pixels.
    """
    counts = _counts(confusion_KK)
    return ClassScores(
        iou=measured(iou, *counts),
        precision=measured(precision, *counts),
        recall=measured(recall, *counts),
        dice=measured(dice, *counts),
        support=counts[1],
    )


def measured(measure: Measure, hits: Pixels, true: Pixels, predicted: Pixels) -> Fractions:
    """Return a measure of every class, arrays of any one shape; NaN where no pixel is of the class."""
    known = true > 0
    values = np.full(true.shape, np.nan)
    if known.any():
        values[known] = measure(hits[known], true[known], predicted[known])
    return values


def mean_over(fractions_K: Fractions, labels: Sequence[int]) -> float:
    """Return the mean over the labels that occur, which are those without NaN; NaN when none does."""
    return float(Scoring(tuple(labels)).over(fractions_K))


def _counts(
    confusion_KK: Counts,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hits, true and predicted pixels of each class, (..., K)."""
    hits = np.asarray(confusion_KK.diagonal(axis1=-2, axis2=-1), np.int64)
    true = confusion_KK.sum(axis=-1, dtype=np.int64)
    predicted = confusion_KK.sum(axis=-2, dtype=np.int64)
    return hits, true, predicted
