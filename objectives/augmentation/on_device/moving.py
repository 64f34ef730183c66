"""Flips, shifts, turns, zooms and slants of a batch at once: where each pixel comes from, and what lies
there.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from objectives.augmentation.on_device.draws import Draws
from objectives.augmentation.transforms import fill_values
from objectives.data.ragged import Size
from objectives.data.spec import FrameSpec
from objectives.device.transfer import sent


def origins(draws: Draws, size: Size, *, reflects: bool) -> npt.NDArray[np.float64]:
    """Return (N, 2, 3) the affine map from places in the result to places in the frame, x first, in the
    coordinates of ``grid_sample``: -1 and 1 are the middles of the outermost pixels where borders are
    reflected, else their outer edges.

    The way forward is slant, turn and zoom about the frame's middle, zoom first, then the shift; flips come
    before. Source: albumentations 2.0.8, ``create_affine_transformation_matrix``.
    """
    turn_N = np.radians(draws.turn_N)
    cosine, sine = np.cos(turn_N), np.sin(turn_N)
    turns_N22 = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)
    slants_N22 = np.tile(np.eye(2), (len(draws), 1, 1))
    slants_N22[:, 0, 1], slants_N22[:, 1, 0] = np.tan(np.radians(draws.slant_N2)).T
    back_N22 = np.linalg.inv(slants_N22 @ turns_N22 * draws.scale_N[:, None, None])
    flips_N2 = np.stack([draws.flip_N, draws.vertical_flip_N], 1)
    height, width = size
    units_2 = np.array([width, height]) / 2 - (0.5 if reflects else 0.0)
    units_2 = np.maximum(units_2, 0.5)  # of a side of one pixel, which is all there is to reflect
    linear_N22 = back_N22 * units_2 / units_2[:, None]
    shifts_N2 = -(back_N22 @ draws.shift_N2[..., None])[..., 0] / units_2
    return np.concatenate([linear_N22, shifts_N2[..., None]], 2) * flips_N2[..., None]


class Mover:
    """Moves frames with their masks: frames by linear interpolation, masks by the nearest pixel.

    Beyond its borders a frame has the mean colour, and its mask the ignored label; where no label is ignored
    both are reflected about the middles of their outermost pixels.
    """

    def __init__(self, spec: FrameSpec) -> None:
        self.reflects = spec.ignore_label is None
        self.fill_C = fill_values(spec)
        self.ignored = spec.ignore_label

    def __call__(
        self, pixels_BCHW: Tensor, masks_BHW: Tensor, origins_B23: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return frames and masks of the same shapes and types, by the maps of `origins`; frames are
        float32, neither rounded nor cut.
        """
        height, width = masks_BHW.shape[1:]
        grid_BHW2 = self._grid(origins_B23, height, width)
        fill_1C11 = sent(torch.tensor(self.fill_C), pixels_BCHW.device)[None, :, None, None]
        moved_BCHW = self._sampled(pixels_BCHW, grid_BHW2, fill_1C11, "bilinear")
        labels_B1HW = masks_BHW[:, None].to(pixels_BCHW.dtype)
        ignored = labels_B1HW.new_full((), float(self.ignored or 0))
        labels_B1HW = self._sampled(labels_B1HW, grid_BHW2, ignored, "nearest")
        return moved_BCHW, labels_B1HW[:, 0].to(masks_BHW.dtype)

    def _grid(self, origins_B23: Tensor, height: int, width: int) -> Tensor:
        """Return where each pixel comes from, without a matrix product: a GPU may round those."""
        device = origins_B23.device
        x_W, y_H = (
            (2 * torch.arange(side, device=device, dtype=torch.float32) - (side - 1))
            / max(1, side - self.reflects)
            for side in (width, height)
        )
        across_B2, down_B2, shift_B2 = origins_B23.unbind(2)
        return (
            across_B2[:, None, None] * x_W[:, None]
            + down_B2[:, None, None] * y_H[:, None, None]
            + shift_B2[:, None, None]
        )

    def _sampled(self, values_BCHW: Tensor, grid_BHW2: Tensor, fill: Tensor, how: str) -> Tensor:
        if self.reflects:
            return functional.grid_sample(
                values_BCHW, grid_BHW2, how, "reflection", align_corners=True
            )
        # beyond the borders it knows zeros
        above_BCHW = functional.grid_sample(
            values_BCHW - fill, grid_BHW2, how, "zeros", align_corners=False
        )
        return above_BCHW + fill
