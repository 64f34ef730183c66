"""Scores of probabilities, which move smoothly where the score of labels jumps: a rare class of a few
hundred pixels changes its IoU by whole hundredths when a pixel changes its label.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.data.spec import FrameSpec
from objectives.program.segmenter import scored_on
from objectives.statistics.scores import Scoring, mean_over, measured


@dataclass(frozen=True)
class SoftSums:
    """Sums over labelled pixels, of probabilities among the scored classes.

    ``expected_KK`` float64: rows are true labels, columns hold the probability of each label, summed
    over the pixels of the row: a confusion matrix as it is to be expected of a draw by these
    probabilities. ``surprise_K`` float64: the sum of ``-ln p`` of the true label, in nats.
    """

    expected_KK: np.ndarray
    surprise_K: np.ndarray

    @classmethod
    def of(cls, cells: npt.NDArray[np.float64], spec: FrameSpec) -> "SoftSums":
        """Return the sums that `soft_cells_KS` of all batches add up to."""
        classes, scored = spec.num_classes, list(spec.scored)
        cells_KS = cells.reshape(classes + 1, len(scored))
        sums = cls(np.zeros((classes, classes)), np.zeros(classes))
        sums.expected_KK[:, scored] = cells_KS[:classes]
        sums.surprise_K[scored] = cells_KS[classes]
        return sums

    def score(self, scoring: Scoring) -> float:
        """Return the study's score of the expected confusion matrix, in 0..1; NaN when no label that
        counts occurs, and of contours, which probabilities do not have.
        """
        if scoring.boundary:
            return math.nan
        true_K, predicted_K = self.expected_KK.sum(1), self.expected_KK.sum(0)
        hits_K = self.expected_KK.diagonal()
        return float(scoring.over(measured(scoring.measure, hits_K, true_K, predicted_K)))

    def balanced_nll(self, scoring: Scoring) -> float:
        """Return the mean over the scored labels that occur of the mean ``-ln p`` of their pixels,
        in nats, whatever the score; NaN when none occurs.
        """
        pixels_K = self.expected_KK.sum(1)
        occurs_K = pixels_K > 0
        means_K = np.full(len(pixels_K), np.nan)
        means_K[occurs_K] = self.surprise_K[occurs_K] / pixels_K[occurs_K]
        return mean_over(means_K, scoring.scored)


def soft_cells_KS(logits_BKHW: Tensor, masks_BHW: Tensor, spec: FrameSpec) -> Tensor:
    """Return the sums of a batch of logits (B, K, H, W) and masks (B, H, W), which stay on its device:
    float64 (K + 1, S), of the S scored classes the column of expected counts (K) and the surprise.
    Ignored pixels are not in them.
    """
    device = logits_BKHW.device
    scored_S = scored_on(device, spec)
    labels_K = torch.arange(spec.num_classes, device=device)
    if spec.ignore_label is not None:
        labels_K[labels_K == spec.ignore_label] = -1  # of no pixel
    log_p_BSP = torch.log_softmax(logits_BKHW.float().index_select(1, scored_S), dim=1).flatten(2)
    own_BKP = (masks_BHW.flatten(1)[:, None] == labels_K[:, None]).to(log_p_BSP.dtype)
    # by frame first: one long float32 sum would lose digits
    expected_KS = torch.bmm(own_BKP, log_p_BSP.exp().transpose(1, 2)).double().sum(0)
    surprise_S = -(own_BKP.index_select(1, scored_S) * log_p_BSP).sum(2).double().sum(0)
    return torch.cat([expected_KS, surprise_S[None]])
