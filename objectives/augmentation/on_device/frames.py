"""Frames of any sizes that live on a device, and regions of them."""

from collections.abc import Iterable
from typing import Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.augmentation.crops import Region
from objectives.data.dataset import Dataset
from objectives.data.ragged import Size
from objectives.device.transfer import sent


@final
class HeldFrames:
    """Frames and masks one behind the other on a device, pixels as they are stored."""

    def __init__(
        self,
        pixels_PC: Tensor,
        labels_P: Tensor,
        sizes_N2: npt.NDArray[np.int64],
        ignored: int | None,
    ) -> None:
        self.stored = pixels_PC.dtype
        self.pixels_PC = indexable(pixels_PC)
        self.labels_P = labels_P
        self.sizes_N2 = sizes_N2
        self.starts_N = np.concatenate([[0], np.cumsum(sizes_N2.prod(axis=1))])[:-1]
        self.ignored = ignored

    @classmethod
    def of(cls, data: Dataset, frames_N: npt.NDArray[np.int64], device: torch.device) -> Self:
        """Return frames of a data set, in the order of their numbers."""
        sizes_N2 = np.array([data.masks[frame].shape for frame in frames_N], np.int64)
        held = cls.empty(sizes_N2, data, device)
        for place, frame in enumerate(frames_N):
            held.put(place, data.images[frame], data.masks[frame])
        return held

    @classmethod
    def empty(cls, sizes_N2: npt.NDArray[np.int64], data: Dataset, device: torch.device) -> Self:
        """Return room for frames of such heights and widths, with pixels as the data's."""
        count = int(sizes_N2.prod(axis=1).sum())
        stored = torch.from_numpy(np.empty(0, np.asarray(data.images[0]).dtype)).dtype
        return cls(
            torch.empty(count, data.spec.channels, dtype=stored, device=device),
            torch.empty(count, dtype=torch.uint8, device=device),
            sizes_N2,
            data.spec.ignore_label,
        )

    def put(self, place: int, image_HWC: np.ndarray, mask_HW: np.ndarray) -> None:
        """Keep a frame of the size that its place has."""
        where = slice(int(self.starts_N[place]), int(self.starts_N[place]) + mask_HW.size)
        image = np.array(image_HWC).reshape(-1, self.pixels_PC.shape[1])
        self.pixels_PC[where].copy_(indexable(torch.from_numpy(image)))
        self.labels_P[where].copy_(torch.from_numpy(np.array(mask_HW).reshape(-1)))

    def take(
        self, places_B: Iterable[int], regions_B: Iterable[Region], size: Size
    ) -> tuple[Tensor, Tensor]:
        """Return regions (B, C, h, w) of one size and their masks (B, h, w), as they are stored.

        As `cut`: beyond a frame, to the right of it and below, its mirror image, and the ignored label where
        there is one.
        """
        places_B = np.array(list(places_B))
        corners_B2 = np.array([region.corner for region in regions_B], np.int64)
        facts_B5 = np.concatenate(
            [self.starts_N[places_B][:, None], self.sizes_N2[places_B], corners_B2], axis=1
        )
        device = self.pixels_PC.device
        start_B, height_B, width_B, row_B, column_B = sent(
            torch.from_numpy(facts_B5), device
        ).unbind(1)
        rows_Bh, columns_Bw = (
            first_B[:, None] + torch.arange(side, device=device)
            for first_B, side in zip((row_B, column_B), size, strict=True)
        )
        within_Bh, within_Bw = (
            mirrored(along, side_B[:, None])
            for along, side_B in ((rows_Bh, height_B), (columns_Bw, width_B))
        )
        lines_Bh = start_B[:, None] + within_Bh * width_B[:, None]
        index_Bhw = lines_Bh[:, :, None] + within_Bw[:, None, :]
        labels_Bhw = self.labels_P[index_Bhw]
        beyond = (corners_B2 + size > self.sizes_N2[places_B]).any()
        if self.ignored is not None and beyond:
            outside_Bhw = (rows_Bh >= height_B[:, None])[:, :, None] | (
                columns_Bw >= width_B[:, None]
            )[:, None, :]
            labels_Bhw = labels_Bhw.masked_fill(outside_Bhw, self.ignored)
        return self.pixels_PC[index_Bhw].view(self.stored).permute(0, 3, 1, 2), labels_Bhw


def indexable(pixels: Tensor) -> Tensor:
    """Return the same pixels, those of 16 bits as signed numbers: CUDA indexes no unsigned ones."""
    return pixels.view(torch.int16) if pixels.dtype == torch.uint16 else pixels


def mirrored(places: Tensor, sides: Tensor) -> Tensor:
    """Return places from 0 on along axes of so many pixels, those beyond mirrored at the last one's edge."""
    places = places.remainder(2 * sides)
    return torch.minimum(places, 2 * sides - 1 - places)


def held_bytes(sizes_N2: npt.NDArray[np.int64], data: Dataset) -> int:
    """Return the bytes that frames of such heights and widths, with pixels as the data's, fill."""
    pixel = data.spec.channels * np.asarray(data.images[0]).dtype.itemsize + 1
    return int(sizes_N2.prod(axis=1).sum()) * pixel
