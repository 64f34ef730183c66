"""Tversky loss: Dice with a say in how much a false positive weighs against a false negative."""

from torch import Tensor

from objectives.losses.overlap import missed_overlap_K
from objectives.losses.pixels import LabelledPixels


def tversky(pixels: LabelledPixels, *, alpha: float) -> Tensor:
    """Return 1 minus the soft Tversky index, averaged over the classes that occur in the batch.

    T_k = TP / (TP + alpha FP + (1 - alpha) FN) over all labelled pixels of the batch; below alpha =
    1/2 a missed pixel costs more than one too many, and at 1/2 this is Dice. 0 when no class is
    left.

    Source: Salehi et al. 2017 (arXiv:1706.05721), equation 3 with beta = 1 - alpha, by class of a
    softmax.
    """
    return pixels.mean_over_classes(
        missed_overlap_K(pixels, false_positives=alpha, false_negatives=1.0 - alpha)
    )
