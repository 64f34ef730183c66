"""Generalised Dice loss: one ratio for all classes, each weighed by its size so that rare ones have
a say.
"""

import torch
from torch import Tensor

from objectives.losses.pixels import LabelledPixels


def generalised_dice(pixels: LabelledPixels) -> Tensor:
    """Return 1 - 2 sum_k w_k sum(p_k g_k) / sum_k w_k (sum(p_k) + sum(g_k)) with w_k = 1 /
    sum(g_k)**2.

    Sums run over all labelled pixels of the batch. Unlike Dice it is no mean over classes, but it
    counts the same ones (``LabelledPixels.occurs_K``): the weight of an absent class would be
    infinite. 0 when no class is left.

    Source: Sudre et al. 2017 (arXiv:1707.03237), the GDL with the weights of GDL_v.
    """
    counts = pixels.soft_counts
    weight_K = torch.where(pixels.occurs_K, counts.target_K.clamp_min(1.0) ** -2, 0.0)
    wrong_K = counts.extra_K + counts.missed_K
    total = (weight_K * (2.0 * counts.true_K + wrong_K)).sum()
    return (weight_K * wrong_K).sum() / total.clamp_min(torch.finfo(torch.float32).tiny)
