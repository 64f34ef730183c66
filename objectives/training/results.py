"""What one epoch of training gave. Imports no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from objectives.config import Watched
from objectives.device.processor import Processor


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave; ``number`` counts from 1, ``loss`` is the mean over its steps.

    ``score`` and ``validation_loss`` are those of the averaged weights; nobody computes the loss
    where nothing reads it.
    """

    number: int
    score: float
    loss: float
    learning_rate: float
    iou: tuple[float, ...]  # per class, NaN for a class that does not occur
    seconds: float
    scored_on: Processor
    validation_loss: float = math.nan  # by the mixture of that epoch; NaN where it was not computed
    # the study's measure of each class, of which its score is made; NaN as in iou
    measured: tuple[float, ...] = ()
    # the score of probabilities, and the class-balanced -ln p in nats (see `SoftSums`): of the same
    # weights and frames as the score, and smoother
    soft_score: float = math.nan
    balanced_nll: float = math.nan

    def merit(self, watched: Watched) -> float:
        """Return what should rise while a training gets better: the score, or the negative
        validation loss.
        """
        return self.score if watched == "score" else -self.validation_loss


def scored_epoch(history: Sequence[EpochResult], *, last: bool) -> EpochResult:
    """Return the epoch whose score and weights are those of the whole run: the best, the first of
    equals, or the last.

    The best of many epochs is what a search keeps, and an optimistic estimate; the last alone is
    not. Needs an epoch.
    """
    return history[-1] if last else max(history, key=lambda result: result.score)
