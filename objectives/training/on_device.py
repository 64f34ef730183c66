"""Batches that are augmented on the device: the frames live there, and only indices and numbers travel."""

from collections.abc import Iterator, Sequence
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from objectives.augmentation.crops import Cropper, Region, crop_size
from objectives.augmentation.on_device.augmenter import DeviceAugmenter
from objectives.augmentation.on_device.frames import HeldFrames, indexable
from objectives.augmentation.on_device.left_to_host import left_to_host, needs_host
from objectives.augmentation.on_device.resizing import resized
from objectives.augmentation.transforms import frame_seed
from objectives.config import Config
from objectives.data.dataset import Dataset
from objectives.device.transfer import sent
from objectives.program.pixels import widened
from objectives.training.loader import FrameLoader
from objectives.training.order import EpochOrder, Key
from objectives.training.ways import held_sizes

BANK_EPOCHS = 4  # that what the host has made of a frame is used for


class Source(Protocol):
    """What gives the frames of a batch on the device, before the device changes them."""

    prefetchers: int
    crowded: bool

    def batches(
        self, keys: Sequence[list[Key]], epoch: int
    ) -> Iterator[tuple[list[Key], Tensor, Tensor]]:
        """Yield each batch of keys with its frames (B, C, h, w), as they are stored, and masks (B, h, w)."""
        ...


@final
class OnDevice:
    """Augments on the device, see `DeviceAugmenter`.

    The frames are copied there when the first epoch begins: by then nothing is forked any more.
    """

    def __init__(
        self,
        config: Config,
        data: Dataset,
        order: EpochOrder,
        *,
        device: torch.device,
        prefetchers: int,
    ) -> None:
        self.order = order
        self.size = crop_size(config.train, data.spec)
        self.keeps_originals = config.augment.keep_originals
        self.config = config
        self.data = data
        self.device = device
        self.source: Source = (
            Bank(config, data, order, device=device, prefetchers=prefetchers)
            if needs_host(config.augment)
            else Held(config, data, device=device)
        )
        self.prefetchers = self.source.prefetchers
        self.crowded = self.source.crowded

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, as `TrainingBatches` says."""
        self.order.epoch = number
        keys = list(self.order)
        every = [key for batch in keys for key in batch]
        seeds_N = np.array([key.seed for key in every], np.uint32)
        changed_N = np.array([key.again or not self.keeps_originals for key in every], bool)
        # here, not before: it uses the device
        augment = DeviceAugmenter(self.config.augment, self.data.spec, self.device)
        drawn = augment.drawn(seeds_N, self.size, changed_N)
        done = 0
        for batch, images_BCHW, masks_BHW in self.source.batches(keys, number):
            part = slice(done, done + len(batch))
            pixels_BCHW, masks_BHW = augment(images_BCHW, masks_BHW, drawn[part])
            yield widened(pixels_BCHW), masks_BHW.long()
            done += len(batch)


@final
class Held:
    """The frames of the training part on the device, and crops of them: where they lie is drawn on the host,
    as `Cropper` does it.
    """

    prefetchers = 0
    crowded = False

    def __init__(self, config: Config, data: Dataset, *, device: torch.device) -> None:
        self.data = data
        self.device = device
        self.crop = Cropper(config.train, data)
        self.held: HeldFrames | None = None
        self.places = {int(frame): place for place, frame in enumerate(data.parts["train"])}

    def batches(
        self, keys: Sequence[list[Key]], epoch: int
    ) -> Iterator[tuple[list[Key], Tensor, Tensor]]:
        """Yield each batch of keys with its frames and masks."""
        if self.held is None:
            self.held = HeldFrames.of(self.data, self.data.parts["train"], self.device)
        for batch in keys:
            yield batch, *self._taken(self.held, batch)

    def _taken(self, held: HeldFrames, batch: list[Key]) -> tuple[Tensor, Tensor]:
        size = self.crop.size
        regions = [
            self.crop.region(self.data.masks[key.frame], key.frame, key.seed) for key in batch
        ]
        places = [self.places[key.frame] for key in batch]
        if all(region.size == size for region in regions):
            return held.take(places, regions, size)
        images_BCHW = torch.empty(
            len(batch), self.data.spec.channels, *size, dtype=held.stored, device=self.device
        )
        masks_BHW = torch.empty(len(batch), *size, dtype=torch.uint8, device=self.device)
        for number, (place, region) in enumerate(zip(places, regions, strict=True)):
            images_BCHW[number], masks_BHW[number] = self._resized(held, place, region)
        return images_BCHW, masks_BHW

    def _resized(self, held: HeldFrames, place: int, region: Region) -> tuple[Tensor, Tensor]:
        images_1CHW, masks_1HW = held.take([place], [region], region.size)
        return resized(images_1CHW[0].float(), masks_1HW[0], self.crop.size, stored=held.stored)


@final
class Bank:
    """Frames as the host has made them (crops, copy-paste and elastic deformation), one for each appearance of
    a frame in an epoch; made again every `BANK_EPOCHS` epochs, by prefetchers where there are some.

    What is made is a function of (seed, first epoch of the few, frame, appearance), and is made when a batch
    first needs it: training goes on meanwhile, and a resume makes what it still needs. Frames that fill
    an epoch's last batch are what was made of them for their place.
    """

    def __init__(
        self,
        config: Config,
        data: Dataset,
        order: EpochOrder,
        *,
        device: torch.device,
        prefetchers: int,
    ) -> None:
        made = config.model_copy(update={"augment": left_to_host(config.augment)})
        self.lacking = _Lacking()
        self.loader = FrameLoader(
            made, data, self.lacking, device=device, prefetchers=min(prefetchers, len(order))
        )
        self.prefetchers = self.loader.prefetchers
        self.crowded = self.loader.crowded
        self.data = data
        self.device = device
        self.seed = order.seed
        self.sizes_N2 = held_sizes(config, data, order)
        self.whole = Region.of_whole(crop_size(config.train, data.spec))
        self.held: HeldFrames | None = None
        self.first = -1  # of the epochs that what is held is for
        self.made = set[int]()  # places

    def batches(
        self, keys: Sequence[list[Key]], epoch: int
    ) -> Iterator[tuple[list[Key], Tensor, Tensor]]:
        """Yield each batch of keys with its frames and masks."""
        first = epoch // BANK_EPOCHS * BANK_EPOCHS
        if first != self.first:
            self.first = first
            self.made.clear()
        if self.held is None:
            self.held = HeldFrames.empty(self.sizes_N2, self.data, self.device)
        lacking = self._lacking_of(keys)
        self.lacking.batches = [batch for batch in lacking if batch]
        made = iter(self.loader)
        for batch, needed in zip(keys, lacking, strict=True):
            if needed:
                self._keep(self.held, needed, *next(made))
            places = [key.place for key in batch]
            yield batch, *self.held.take(places, [self.whole] * len(places), self.whole.size)

    def _lacking_of(self, keys: Sequence[list[Key]]) -> list[list[Key]]:
        """Return what is still to be made, at the batch that first needs it."""
        seen = set(self.made)
        lacking = []
        for batch in keys:
            lacking.append([self._key(key) for key in batch if key.place not in seen])
            seen.update(key.place for key in batch)
        return lacking

    def _key(self, key: Key) -> Key:
        seed = frame_seed(self.seed, self.first, key.frame, key.place)
        return Key(key.frame, seed, key.again, key.pasted, key.place)

    def _keep(
        self, held: HeldFrames, keys: list[Key], images_BCHW: Tensor, masks_BHW: Tensor
    ) -> None:
        places = sent(torch.tensor([key.place for key in keys]), self.device)
        height, width = self.whole.size
        pixels_NHWC = held.pixels_PC.view(-1, height, width, held.pixels_PC.shape[1])
        images_BCHW = indexable(images_BCHW).to(self.device, non_blocking=True)
        pixels_NHWC[places] = images_BCHW.permute(0, 2, 3, 1)
        held.labels_P.view(-1, height, width)[places] = masks_BHW.to(self.device, non_blocking=True)
        self.made.update(key.place for key in keys)


@final
class _Lacking(Sampler[list[Key]]):
    """Batches of what a bank lacks, in the order in which they are needed."""

    def __init__(self) -> None:
        self.batches: list[list[Key]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)
