"""Padding to the sizes that a network with downsamplings can take."""

from torch import Tensor
from torch.nn import functional


def pad_to_multiple(images_BCHW: Tensor, multiple: int) -> Tensor:
    """Return the images with their last row and column repeated until ``multiple`` divides height
    and width.

    Unlike reflection, repeating works for frames smaller than the padding. The caller crops with
    ``[..., :H, :W]``. Sizes that an export leaves open are symbols, no ints: those are padded
    whatever they turn out to be, by 0 perhaps.
    """
    height, width = images_BCHW.shape[-2:]
    below = -height % multiple
    right = -width % multiple
    if isinstance(below, int) and isinstance(right, int) and below == 0 and right == 0:
        return images_BCHW
    return functional.pad(images_BCHW, (0, right, 0, below), mode="replicate")
