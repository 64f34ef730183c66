"""Soft Dice loss over the classes that occur in the batch."""

import torch
from torch import Tensor

from objectives.losses.pixels import LabelledPixels


def dice(pixels: LabelledPixels) -> Tensor:
    """Return 1 minus the soft Dice coefficient, averaged over the classes that occur among the batch's labelled pixels.

    D_k = 2 * sum(p_k g_k) / (sum(p_k) + sum(g_k)), summed over all labelled pixels of the batch, not by frame. A class
    without a labelled pixel in the batch is left out of the mean: its coefficient is 0 whatever is predicted and has no
    gradient, so it could only add a constant that jumps from batch to batch. The ignored label and classes of weight 0
    are left out too; otherwise class weights play no part, since every class has the same say already. 0 when no class
    is left.

    Source: Milletari et al. 2016 (arXiv:1606.04797), the Dice loss layer, with the plain denominator of Drozdzal et al. 2016
    (arXiv:1608.04117) in place of the squared one.
    """
    counts = pixels.soft_counts
    occurs_K = (counts.target_K > 0) & (pixels.weights_K > 0)
    total_K = torch.where(occurs_K, counts.predicted_K + counts.target_K, 1.0)
    miss_K = torch.where(occurs_K, 1.0 - 2.0 * counts.intersection_K / total_K, 0.0)
    return miss_K.sum() / occurs_K.sum().clamp_min(1)
