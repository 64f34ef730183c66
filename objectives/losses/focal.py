"""Focal loss in its softmax form."""

import torch
from torch import Tensor

from objectives.losses.pixels import LabelledPixels

# below it 1 - p_t counts as this much: the power's slope at 0 is infinite for gamma < 1
SMALLEST_MISS = 1e-7


def focal(pixels: LabelledPixels, *, gamma: float) -> Tensor:
    """Return the class-weighted mean of (1 - p_t)**gamma * -log p_t; 0 at a perfect prediction.

    p_t is the softmax probability of the pixel's own class, and the class weights stand for
    alpha_t. The mean divides by the sum of the class weights, as in the cross-entropy, which this
    equals at gamma 0.

    Source: Lin et al. 2017 (arXiv:1708.02002), equation 5, p_t by softmax instead of by one sigmoid
    a class.
    """
    miss_BHW = -torch.expm1(pixels.log_pt_BHW)
    return pixels.weighted_mean(miss_BHW.clamp_min(SMALLEST_MISS) ** gamma * -pixels.log_pt_BHW)
