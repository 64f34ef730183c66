"""Unified focal loss: a focal loss over pixels and a focal Tversky loss over classes under one pair
of parameters.
"""

from torch import Tensor

from objectives.losses.cross_entropy import cross_entropy
from objectives.losses.focal import SMALLEST_MISS, focal
from objectives.losses.overlap import missed_overlap_K
from objectives.losses.pixels import LabelledPixels


def unified_focal(pixels: LabelledPixels, *, delta: float, gamma: float) -> Tensor:
    """Return the asymmetric unified focal loss (lambda = 1/2), averaged over each class's two
    roles, rare and common.

    With CE and FL the class-weighted means of -log p_t and (1 - p_t)**gamma * -log p_t, and m_k = 1
    - TP / (TP + delta FN + (1 - delta) FP) averaged over the classes that occur, it is

        1/2 * 1/2 * (delta CE + (1 - delta) FL) + 1/2 * 1/2 * mean_k(m_k**(1 - gamma) + m_k)

    The paper's form needs one class r to be the rare one: r gets the plain cross-entropy times
    delta and the enhanced m_r**(1 - gamma), every other class the suppressed focal loss times 1 -
    delta and the plain m_k. Nothing here says which class is rare, and several may be, so every
    class takes both roles with half the weight each. For two classes that is exactly the mean of
    the paper's loss over both choices of r. gamma = 0 and delta = 1/2 leave 1/4 CE + 1/2 Dice.

    Source: Yeung et al. 2022 (Comput. Med. Imaging Graph. 95:102026, arXiv:2102.04525), the
    modified asymmetric focal and focal Tversky losses and their mean; delta on the false negatives
    and the mean over classes as in the released code.
    """
    by_pixel = delta * cross_entropy(pixels) + (1.0 - delta) * focal(pixels, gamma=gamma)
    miss_K = missed_overlap_K(pixels, false_positives=1.0 - delta, false_negatives=delta)
    # m**(1 - gamma) with a finite slope at 0
    enhanced_K = miss_K * miss_K.clamp_min(SMALLEST_MISS) ** -gamma
    return (by_pixel + pixels.mean_over_classes(enhanced_K + miss_K)) / 4.0
