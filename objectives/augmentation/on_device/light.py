"""Brightness, contrast, gamma, noise and blur of the frames of a batch that get them, in units of the range
that pixels use.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.augmentation.on_device.draws import Draws
from objectives.augmentation.transforms import OwnRange
from objectives.data.spec import FrameSpec
from objectives.device.transfer import sent

REACH = 3.5  # deviations that a blur's kernel reaches, rounded down to whole pixels


def blur_kernels(deviations_N: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """Return (N, 2 reach + 1) the weights of each Gaussian blur, which add up to 1; deviation 0 weighs the
    pixel itself alone.

    Source: Pillow's way, as albumentations 2.0.8 has it in ``create_gaussian_kernel_1d``.
    """
    offsets_R = np.arange(-reach, reach + 1)
    deviations_N1 = np.maximum(deviations_N, 1e-6)[:, None]
    inside_NR = np.abs(offsets_R) <= np.floor(REACH * deviations_N1)
    weights_NR = np.where(inside_NR, np.exp(-0.5 * (offsets_R / deviations_N1) ** 2), 0.0)
    return np.asarray(weights_NR / weights_NR.sum(axis=1, keepdims=True))


class Light:
    """Changes the light of frames, each by its own numbers, channel by channel in its own range.

    Frames of 8 bits are cut and rounded down after each step, as albumentations' tables and additions do,
    wider ones cut to the range, but not rounded. What a frame changes by is added to what it was, so that
    values beyond the range keep their distance from it.
    """

    def __init__(self, spec: FrameSpec, *, device: torch.device) -> None:
        own = OwnRange(spec)
        self.low_1C11, self.span_1C11 = (
            torch.from_numpy(values_C).to(device)[None, :, None, None]
            for values_C in (own.low_C, own.span_C)
        )
        # of pixels of frames: a function of each frame's seed, and of the kind of device
        self.generator = torch.Generator(device)

    def __call__(
        self,
        pixels_BCHW: Tensor,
        draws: Draws,
        seeds_B: npt.NDArray[np.uint32],
        numbers_BD: Tensor,
        *,
        one: float,
    ) -> Tensor:
        """Return the frames (float32) with their light changed, neither rounded nor cut.

        Args:
            pixels_BCHW: Raw frames as float32.
            draws: What happens to each.
            seeds_B: Of each frame's noise.
            numbers_BD: On the device, of each frame contrast, brightness, gamma, noise, and the weights of
                its blur.
            one: What the top of the range is worth: 255 for frames of 8 bits, 1 for wider ones.
        """
        before_BCHW = ((pixels_BCHW - self.low_1C11) / self.span_1C11).clamp_(0.0, 1.0)
        if one != 1.0:
            before_BCHW = (before_BCHW * one).round_()
        units_BCHW = before_BCHW.clone()
        contrast, brightness, gamma, noise = (
            numbers_BD[:, column, None, None, None] for column in range(4)
        )
        lit = (draws.contrast_N != 1.0) | (draws.brightness_N != 0.0)
        if (rows := _rows(lit, pixels_BCHW)) is not None:
            changed = units_BCHW[rows] * contrast[rows] + brightness[rows] * one
            units_BCHW[rows] = _stored(changed, one)
        if (rows := _rows(draws.gamma_N != 1.0, pixels_BCHW)) is not None:
            units_BCHW[rows] = _stored((units_BCHW[rows] / one) ** gamma[rows] * one, one)
        if (rows := _rows(draws.noise_N != 0.0, pixels_BCHW)) is not None:
            drawn = self.normal(seeds_B[draws.noise_N != 0.0], units_BCHW) * noise[rows] * one
            if one != 1.0:
                drawn = drawn.trunc_()  # as albumentations adds to bytes
            units_BCHW[rows] = _stored(units_BCHW[rows] + drawn, one)
        if (rows := _rows(draws.blur_N != 0.0, pixels_BCHW)) is not None:
            blurred = _blurred(units_BCHW[rows], numbers_BD[rows, 4:])
            units_BCHW[rows] = blurred.round_() if one != 1.0 else blurred
        return pixels_BCHW + (units_BCHW - before_BCHW) * (self.span_1C11 / one)

    def normal(self, seeds_b: npt.NDArray[np.uint32], like_BCHW: Tensor) -> Tensor:
        """Return (b, C, H, W) normally distributed numbers, of each frame by its seed alone."""
        found_bCHW = like_BCHW.new_empty(len(seeds_b), *like_BCHW.shape[1:])
        for frame_CHW, seed in zip(found_bCHW, seeds_b.tolist(), strict=True):
            frame_CHW.normal_(generator=self.generator.manual_seed(seed))
        return found_bCHW


def _rows(wanted_B: npt.NDArray[np.bool_], on: Tensor) -> Tensor | None:
    """Return the numbers of the frames that are wanted, on the device; None for none."""
    if not wanted_B.any():
        return None
    return sent(torch.from_numpy(np.flatnonzero(wanted_B)), on.device)


def _stored(units: Tensor, one: float) -> Tensor:
    """Return units as albumentations stores them between two transforms."""
    units = units.clamp_(0.0, one)
    return units.floor_() if one != 1.0 else units


def _blurred(units_bCHW: Tensor, kernels_bR: Tensor) -> Tensor:
    """Return the frames blurred along both axes, reflected about the middles of their outermost pixels."""
    for axis in (3, 2):
        side = units_bCHW.shape[axis]
        reach = kernels_bR.shape[1] // 2
        places = reflected(torch.arange(-reach, side + reach, device=units_bCHW.device), side)
        wide = units_bCHW.index_select(axis, places)
        weights_Rb111 = kernels_bR.T[:, :, None, None, None]
        units_bCHW = sum(
            (
                weights_b111 * wide.narrow(axis, start, side)
                for start, weights_b111 in enumerate(weights_Rb111)
            ),
            start=torch.zeros((), device=wide.device),
        )
    return units_bCHW


def reflected(places: Tensor, side: int) -> Tensor:
    """Return places along an axis, those beyond it reflected about the middles of its outermost pixels."""
    period = max(1, 2 * (side - 1))
    places = places.remainder(period)
    return torch.minimum(places, period - places)
