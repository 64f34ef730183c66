"""Soft Dice loss over the classes that occur in the batch."""

from torch import Tensor

from objectives.losses.overlap import missed_overlap_K
from objectives.losses.pixels import LabelledPixels


def dice(pixels: LabelledPixels) -> Tensor:
    """Return 1 minus the soft Dice coefficient, averaged over the classes that occur among the
    batch's labelled pixels.

    D_k = 2 * sum(p_k g_k) / (sum(p_k) + sum(g_k)), summed over all labelled pixels of the batch,
    not by frame. Which classes count, and why class weights play no further part, says
    ``LabelledPixels.occurs_K``. 0 when no class is left.

    Source: Milletari et al. 2016 (arXiv:1606.04797), the Dice loss layer, with the plain
    denominator of Drozdzal et al. 2016 (arXiv:1608.04117) in place of the squared one.
    """
    return pixels.mean_over_classes(
        missed_overlap_K(pixels, false_positives=0.5, false_negatives=0.5)
    )
