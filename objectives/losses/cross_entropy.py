"""Cross-entropy over the labelled pixels."""

from torch import Tensor

from objectives.losses.pixels import LabelledPixels


def cross_entropy(pixels: LabelledPixels) -> Tensor:
    """Return the class-weighted mean of -log p_t; 0 at a perfect prediction.

    Weighted as torch's: sum of w_t * -log p_t over sum of w_t, so a common factor of all class
    weights cancels.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597), equation 1, with the weight map w taken from
    the class alone.
    """
    return pixels.weighted_mean(-pixels.log_pt_BHW)
