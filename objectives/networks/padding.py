"""Padding to the sizes that a network with downsamplings can take."""

from torch import Tensor
from torch.nn import functional


def pad_to_multiple(images_BCHW: Tensor, multiple: int) -> Tensor:
    """Return the images with their last row and column repeated until ``multiple`` divides height and width.

    Unlike reflection, repeating works for frames smaller than the padding. The caller crops with ``[..., :H, :W]``.
    """
    height, width = images_BCHW.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if below == 0 and right == 0:
        return images_BCHW
    return functional.pad(images_BCHW, (0, right, 0, below), mode="replicate")
