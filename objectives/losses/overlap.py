"""The overlap that Dice, Jaccard, Tversky and unified focal loss share: one ratio with
two weights.
"""

from torch import Tensor

from objectives.losses.pixels import LabelledPixels

# pixels; a total falls below it only when false negatives weigh nothing and a class is not
# predicted
SMALLEST_TOTAL = 1e-6


def missed_overlap_K(
    pixels: LabelledPixels, *, false_positives: float, false_negatives: float
) -> Tensor:
    """Return 1 - TP / (TP + a FP + b FN) of each class, a and b the weights of its false positives
    and false negatives.

    The counts are soft and taken over all labelled pixels of the batch, not by frame. a = b = 1/2
    is Dice, a = b = 1 Jaccard. A class that is nowhere predicted misses all, 1, even where b = 0
    makes that 0 / 0. Of no meaning for a class without labelled pixels.

    Source: Salehi et al. 2017 (arXiv:1706.05721), equations 2 and 3, of which the others are cases.
    """
    counts = pixels.soft_counts
    wrong_K = false_positives * counts.extra_K + false_negatives * counts.missed_K
    total_K = counts.true_K + wrong_K
    lacking_K = (SMALLEST_TOTAL - total_K).clamp_min(0.0)
    return (wrong_K + lacking_K) / (total_K + lacking_K)
