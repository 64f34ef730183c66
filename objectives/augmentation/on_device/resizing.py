"""Regions of frames at the size that networks are trained on, as OpenCV resizes them on the host."""

import numpy as np
import torch
from torch import Tensor

from objectives.data.preparing.resize import resize_mask
from objectives.data.ragged import Size
from objectives.device.transfer import sent


def resized(
    image_CHW: Tensor, mask_HW: Tensor, size: Size, *, stored: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return an image (float32) and its mask at a height and width; the image as pixels of type ``stored``
    could hold it.

    As `resize_image`: mean over areas when it shrinks, linear when it grows; and `resize_mask`: the pixel
    nearest to each centre.
    """
    height, width = mask_HW.shape
    if (height, width) == size:
        return image_CHW, mask_HW
    shrinks = size[0] * size[1] < height * width
    down_hH, across_wW = (
        (_areas if shrinks else _hats)(now, then, image_CHW.device)
        for now, then in zip((height, width), size, strict=True)
    )
    image_Chw = down_hH @ image_CHW @ across_wW.T
    if stored != torch.float32:
        image_Chw = image_Chw.round()
    rows_h, columns_w = (
        _nearest(now, then, image_CHW.device)
        for now, then in zip((height, width), size, strict=True)
    )
    return image_Chw, mask_HW[rows_h[:, None], columns_w]


def _areas(now: int, then: int, device: torch.device) -> Tensor:
    """Return (then, now) the share that each pixel of now has in each of then."""
    step = now / then
    first_h1 = torch.arange(then, device=device, dtype=torch.float64)[:, None] * step
    pixel_H = torch.arange(now, device=device, dtype=torch.float64)
    shared_hH = torch.minimum(pixel_H + 1, first_h1 + step) - torch.maximum(pixel_H, first_h1)
    return (shared_hH.clamp(min=0.0) / step).float()


def _hats(now: int, then: int, device: torch.device) -> Tensor:
    """Return (then, now) the weights of linear interpolation between the two nearest pixels."""
    step = now / then
    place_h1 = (torch.arange(then, device=device, dtype=torch.float64)[:, None] + 0.5) * step - 0.5
    pixel_H = torch.arange(now, device=device, dtype=torch.float64)
    return (1 - (place_h1.clamp(0, now - 1) - pixel_H).abs()).clamp(min=0.0).float()


def _nearest(now: int, then: int, device: torch.device) -> Tensor:
    """Return (then,) the pixel of now that is nearest to each centre of then: OpenCV itself says which,
    since a centre may lie between two.
    """
    pixel_1H = np.arange(now, dtype=np.uint16)[None]
    return sent(torch.from_numpy(resize_mask(pixel_1H, 1, then)[0].astype(np.int64)), device)
