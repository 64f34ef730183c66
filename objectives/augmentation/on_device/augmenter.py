"""What happens to the frames of a batch on the device: where they go, then their light."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.augmentation.on_device.draws import Draws
from objectives.augmentation.on_device.light import REACH, Light, blur_kernels
from objectives.augmentation.on_device.moving import Mover, origins
from objectives.augmentation.strengths import Strengths
from objectives.config import Augment
from objectives.data.ragged import Size
from objectives.data.spec import FrameSpec
from objectives.device.transfer import sent

# values of frames that go through at once: so many stay in a CPU's cache and are no news to its memory; on a
# GPU they bound what is taken for a moment, some ten times four bytes each
AT_ONCE = {"cpu": 2**19, "cuda": 2**23}
_OF_MOVING = 6  # the first of a frame's numbers on the device


@final
@dataclass(frozen=True)
class Drawn:
    """What happens to N frames: their seeds and draws here, and the numbers made of these on the device."""

    seeds_N: npt.NDArray[np.uint32]
    draws: Draws
    numbers_ND: Tensor  # float32: the map of each frame, contrast, brightness, gamma, noise, blur

    def __getitem__(self, frames: slice) -> Self:
        return type(self)(self.seeds_N[frames], self.draws[frames], self.numbers_ND[frames])


@final
class DeviceAugmenter:
    """Augments batches as `Augmenter` does frames, but for elastic deformation: equal numbers give pictures
    that are equal within one step of 8 bits.

    OpenCV rounds places in frames of two channels to 1/32 pixel; nothing is rounded here.
    """

    def __init__(self, augment: Augment, spec: FrameSpec, device: torch.device) -> None:
        self.strengths = Strengths.of(augment)
        self.device = device
        self.values_at_once = AT_ONCE[device.type]
        self.reflects = spec.ignore_label is None
        self.move = Mover(spec)
        self.at_rest_23 = torch.eye(2, 3, device=device)
        self.light = Light(spec, device=device)
        self.reach = int(REACH * self.strengths.blur[1]) if self.strengths.blurred else 0

    def drawn(
        self, seeds_N: npt.NDArray[np.uint32], size: Size, changed_N: npt.NDArray[np.bool_]
    ) -> Drawn:
        """Draw for frames of a height and width, and copy the numbers to the device; frames that are not to
        be ``changed`` stay as they are.
        """
        return self.given(seeds_N, Draws.of(self.strengths, seeds_N, size, changed_N), size)

    def given(self, seeds_N: npt.NDArray[np.uint32], draws: Draws, size: Size) -> Drawn:
        """Return draws with the numbers that the device needs."""
        numbers_ND = np.concatenate(
            [
                origins(draws, size, reflects=self.reflects).reshape(-1, _OF_MOVING),
                np.stack([draws.contrast_N, draws.brightness_N, draws.gamma_N, draws.noise_N], 1),
                blur_kernels(draws.blur_N, self.reach),
            ],
            axis=1,
        ).astype(np.float32)
        return Drawn(seeds_N, draws, sent(torch.from_numpy(numbers_ND), self.device))

    def __call__(
        self, images_BCHW: Tensor, masks_BHW: Tensor, drawn: Drawn
    ) -> tuple[Tensor, Tensor]:
        """Return augmented frames and masks: uint8 frames as uint8, wider ones as float32, in which those of
        16 bits are whole numbers.

        Args:
            images_BCHW: uint8, uint16 or float32, which is neither rounded nor cut.
            masks_BHW: uint8 labels.
            drawn: What happens to each.
        """
        frames = max(1, self.values_at_once // images_BCHW[0].numel())
        parts = [
            self._part(images_BCHW[part], masks_BHW[part], drawn[part])
            for part in (
                slice(first, first + frames) for first in range(0, len(images_BCHW), frames)
            )
        ]
        found_BCHW, found_BHW = (torch.cat(each) for each in zip(*parts, strict=True))
        return found_BCHW.contiguous(memory_format=torch.channels_last), found_BHW

    def _part(self, images_BCHW: Tensor, masks_BHW: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
        pixels_BCHW = images_BCHW.float()
        if self.strengths.moves:
            origins_B23 = drawn.numbers_ND[:, :_OF_MOVING].reshape(-1, 2, 3)
            moved_BCHW, masks_BHW = self.move(pixels_BCHW, masks_BHW, origins_B23)
            # one that stays where it is does so to the last bit, also where places are rounded
            moved_B111 = (origins_B23 != self.at_rest_23).any(2).any(1)[:, None, None, None]
            moved_BCHW = _whole(moved_BCHW, images_BCHW.dtype)
            pixels_BCHW = torch.where(moved_B111, moved_BCHW, pixels_BCHW)
        if self.strengths.lights:
            one = 255.0 if images_BCHW.dtype == torch.uint8 else 1.0
            numbers_BD = drawn.numbers_ND[:, _OF_MOVING:]
            pixels_BCHW = self.light(pixels_BCHW, drawn.draws, drawn.seeds_N, numbers_BD, one=one)
            pixels_BCHW = _whole(pixels_BCHW, images_BCHW.dtype)
        if images_BCHW.dtype == torch.uint8:
            pixels_BCHW = pixels_BCHW.to(torch.uint8)
        return pixels_BCHW, masks_BHW


def _whole(pixels: Tensor, stored: torch.dtype) -> Tensor:
    """Return pixels as their files could hold them, still as float32."""
    if stored == torch.float32:
        return pixels
    return pixels.round().clamp(0, torch.iinfo(stored).max)
