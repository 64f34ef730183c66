"""Scores of classes from confusion matrices: IoU, precision, recall, Dice, support, and their
means. Imports no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer]
Fractions = npt.NDArray[np.float64]


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

    With true positives TP, false positives FP and false negatives FN of a class: IoU = TP / (TP +
    FP + FN), precision = TP / (TP + FP), recall = TP / (TP + FN), Dice = 2 TP / (2 TP + FP + FN).

    Source: Everingham et al. 2015 (The Pascal Visual Object Classes Challenge: A Retrospective),
    segmentation accuracy (IoU); van Rijsbergen 1979 (Information Retrieval), chapter 7 (precision,
    recall); Dice 1945 (Measures of the Amount of Ecologic Association Between Species), coincidence
    index.
    """
    hits = np.asarray(confusion_KK.diagonal(axis1=-2, axis2=-1), np.int64)
    true = confusion_KK.sum(axis=-1, dtype=np.int64)
    predicted = confusion_KK.sum(axis=-2, dtype=np.int64)
    known = true > 0
    return ClassScores(
        iou=_fractions(hits, true + predicted - hits, known),
        precision=_fractions(hits, predicted, known),
        recall=_fractions(hits, true, known),
        dice=_fractions(2 * hits, true + predicted, known),
        support=true,
    )


def mean_over(fractions_K: Fractions, scored: Sequence[int]) -> float:
    """Return the mean over the ``scored`` labels that occur, which are those without NaN; NaN when
    none does.
    """
    chosen = fractions_K[list(scored)]
    known = chosen[~np.isnan(chosen)]
    return float(known.mean()) if known.size else float("nan")


def mean_iou(confusion_KK: Counts, scored: Sequence[int]) -> float:
    """Return the score of a set of frames, and of a single one: mean IoU over the scored classes
    that occur in its truth.
    """
    return mean_over(class_scores(confusion_KK).iou, scored)


def _fractions(part: Counts, whole: Counts, known: npt.NDArray[np.bool_]) -> Fractions:
    """Part by whole; 0 where the whole is empty, and NaN where nothing is known."""
    divided = np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
    return np.where(known, divided, np.nan)
