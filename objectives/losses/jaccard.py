"""Soft Jaccard loss: the intersection over union that the score counts, without a threshold."""

from torch import Tensor

from objectives.losses.overlap import missed_overlap_K
from objectives.losses.pixels import LabelledPixels


def jaccard(pixels: LabelledPixels) -> Tensor:
    """Return 1 minus the soft intersection over union, averaged over the classes that occur in the
    batch.

    J_k = sum(p_k g_k) / (sum(p_k) + sum(g_k) - sum(p_k g_k)) over all labelled pixels of the batch.
    0 when no class is left.

    Source: Rahman and Wang 2016 (ISVC, LNCS 10072:234), the loss 1 - I / U with I = sum(x y) and U
    = sum(x + y - x y), by class of a softmax in place of their single sigmoid.
    """
    return pixels.mean_over_classes(
        missed_overlap_K(pixels, false_positives=1.0, false_negatives=1.0)
    )
