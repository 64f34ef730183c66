"""Raw frames as tensors, as every network of ours takes them."""

import numpy as np
import torch
from torch import Tensor

from objectives.device.transfer import sent


def pixels_BCHW(images_BHWC: np.ndarray) -> Tensor:
    """Raw frames (B, H, W, C) as a channels-last tensor (B, C, H, W): uint8, or float32 for wider
    pixels.
    """
    return widened(raw_BCHW(images_BHWC))


def raw_BCHW(images_BHWC: np.ndarray) -> Tensor:
    """Raw frames (B, H, W, C) as a channels-last tensor (B, C, H, W) of their own type: so they
    travel to a device.
    """
    return torch.from_numpy(np.array(images_BHWC)).permute(0, 3, 1, 2)


def widened(pixels_BCHW: Tensor) -> Tensor:
    """Return the pixels as networks take them: uint8 as it is, wider ones as float32; torch
    computes little with uint16.
    """
    return pixels_BCHW if pixels_BCHW.dtype == torch.uint8 else pixels_BCHW.float()


def pixels_on(device: torch.device, images_BHWC: np.ndarray) -> Tensor:
    """Raw frames (B, H, W, C) as `pixels_BCHW` gives them, on a device."""
    return widened(sent(raw_BCHW(images_BHWC), device))
