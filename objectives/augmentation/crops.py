"""Crops of frames for training: where they lie, and how they become one size; a function of frame, mask
and seed alone.
"""

from typing import Final, NamedTuple, Self, final

import numpy as np
import numpy.typing as npt

from objectives.config import Train
from objectives.data.dataset import Dataset
from objectives.data.preparing.resize import resize_image, resize_mask
from objectives.data.ragged import Size
from objectives.data.spec import FrameSpec
from objectives.windows.layout import Corner, cut

TRIES: Final = 10  # of a crop until no class covers too much of it
PLACES: Final = 64  # pixels of each class in a frame that crops are laid around
_STREAM = 3  # keeps these draws apart from others of the same seed
_ROWS_AT_ONCE = 2**22  # pixels


def crop_size(train: Train, spec: FrameSpec) -> Size:
    """Return the height and width of what a network is trained on."""
    return train.crop_size or (spec.height, spec.width)


def trained_spec(train: Train, spec: FrameSpec) -> FrameSpec:
    """Return what a network is trained on as frames of a spec."""
    height, width = crop_size(train, spec)
    return spec.model_copy(update={"height": height, "width": width})


def crops_in(size: tuple[int, ...], crop: Size) -> int:
    """Return how many crops of a frame an epoch has: as many as it is larger, so that an epoch sees as
    many pixels whatever the crop.
    """
    return max(1, round(size[0] * size[1] / (crop[0] * crop[1])))


class Region(NamedTuple):
    """A part of a frame that becomes a crop; it may reach beyond the frame, to the right and below."""

    corner: Corner
    size: Size

    @classmethod
    def of_whole(cls, size: Size) -> Self:
        """Return all of a frame of that size."""
        return cls(Corner(0, 0), size)


@final
class Cropper:
    """Cuts a frame and its mask to the size that a network is trained on.

    A share ``train.crop_balance`` of the crops holds a pixel of a class that is drawn evenly among the scored
    ones of the frame; the others lie anywhere. A region between 1 / ``train.crop_scale`` and as many times the
    crop's size becomes the crop. One of whose labelled pixels more than ``train.crop_most`` are of one
    class is drawn again. Where a region reaches beyond its frame, the image is mirrored there, and the mask has
    the ignored label, or is mirrored where none is ignored.

    Source: Isensee et al. 2021 (nnU-Net), a third of whose patches hold a foreground class; the limit on one
    class as ``cat_max_ratio`` of MMSegmentation's RandomCrop.
    """

    def __init__(self, train: Train, data: Dataset) -> None:
        self.size = crop_size(train, data.spec)
        self.balance = train.crop_balance
        self.scale = train.crop_scale
        self.most = train.crop_most
        self.data = data
        self.places = ClassPlaces(data)
        self.spec = data.spec

    def whole(self, mask_HW: np.ndarray) -> bool:
        """Return whether every crop of a frame would be the frame itself."""
        return mask_HW.shape == self.size and self.scale == 1.0

    def __call__(
        self, image_HWC: np.ndarray, mask_HW: np.ndarray, frame: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the crop (h, w, C) and its mask (h, w); ``frame`` is the number of the frame in the data."""
        if self.whole(mask_HW):
            return image_HWC, mask_HW
        corner, region = self.region(mask_HW, frame, seed)
        return (
            resize_image(cut(image_HWC, corner, *region), *self.size),
            resize_mask(cut(mask_HW, corner, *region, fill=self.spec.ignore_label), *self.size),
        )

    def region(self, mask_HW: np.ndarray, frame: int, seed: int) -> Region:
        """Return which part of a frame becomes the crop."""
        if self.whole(mask_HW):
            return Region.of_whole(self.size)
        generator = np.random.default_rng((seed, _STREAM))
        for _ in range(TRIES if self.most < 1.0 else 1):
            size = self._size(generator)
            corner = self._corner(mask_HW, frame, size, generator)
            if self._mixed(mask_HW, corner, size):
                break
        return Region(corner, size)

    def _size(self, generator: np.random.Generator) -> Size:
        if self.scale == 1.0:
            return self.size
        factor = self.scale ** generator.uniform(-1.0, 1.0)
        height, width = (max(1, round(side * factor)) for side in self.size)
        return height, width

    def _corner(
        self, mask_HW: np.ndarray, frame: int, region: Size, generator: np.random.Generator
    ) -> Corner:
        room = [max(0, whole - side) for whole, side in zip(mask_HW.shape, region, strict=True)]
        balanced = generator.random() < self.balance
        anywhere = Corner(*(int(generator.integers(0, most, endpoint=True)) for most in room))
        if not balanced or room == [0, 0]:
            return anywhere
        centre = self.places.drawn(frame, generator)
        if centre is None:
            return anywhere
        # the pixel may lie anywhere in the crop, as far as the frame goes
        before = (int(generator.integers(0, side)) for side in region)
        row, column = (
            min(max(0, place - least), most)
            for place, least, most in zip(centre, before, room, strict=True)
        )
        return Corner(row, column)

    def _mixed(self, mask_HW: np.ndarray, corner: Corner, size: Size) -> bool:
        if self.most == 1.0:
            return True
        mask_hw = cut(mask_HW, corner, *size, fill=self.spec.ignore_label)
        counts = np.bincount(mask_hw.ravel(), minlength=self.spec.num_classes)
        if self.spec.ignore_label is not None:
            counts[self.spec.ignore_label] = 0
        return bool(counts.max() <= self.most * counts.sum())


@final
class ClassPlaces:
    """A few pixels of each scored class in each frame, found when a frame is first asked for; the same
    in every process.
    """

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.scored = [label for label in data.spec.scored if label != data.spec.ignore_label]
        self.found: dict[int, list[npt.NDArray[np.int64]]] = {}

    def drawn(self, frame: int, generator: np.random.Generator) -> tuple[int, int] | None:
        """Return the row and column of a pixel of a class that is drawn evenly among those of the frame;
        None where it has none that is scored.
        """
        if frame not in self.found:
            mask_HW = self.data.masks[frame]
            held = [label for label in self.scored if self.data.class_pixels[frame, label]]
            self.found[frame] = [self._places(mask_HW, frame, label) for label in held]
        classes = [places for places in self.found[frame] if len(places)]
        if not classes:
            return None
        places = classes[int(generator.integers(len(classes)))]
        row, column = divmod(int(generator.choice(places)), self.data.masks[frame].shape[1])
        return row, column

    def _places(self, mask_HW: np.ndarray, frame: int, label: int) -> npt.NDArray[np.int64]:
        """Return at most about `PLACES` places of a class in a flattened mask, drawn evenly."""
        generator = np.random.default_rng((frame, label))
        share = min(1.0, PLACES / int(self.data.class_pixels[frame, label]))
        rows = max(1, _ROWS_AT_ONCE // mask_HW.shape[1])
        found = []
        for start in range(0, len(mask_HW), rows):
            inside = np.flatnonzero(mask_HW[start : start + rows].ravel() == label)
            count = len(inside) if share == 1.0 else generator.binomial(len(inside), share)
            chosen = generator.choice(inside, count, replace=False, shuffle=False)
            found.append(start * mask_HW.shape[1] + chosen)
        places = np.concatenate(found)
        return places if len(places) else self._first(mask_HW, label)

    def _first(self, mask_HW: np.ndarray, label: int) -> npt.NDArray[np.int64]:
        """Return one place of a class of which the draw took none."""
        return np.flatnonzero(mask_HW.ravel() == label)[:1]
