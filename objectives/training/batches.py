"""Training batches: which frames, in which order, augmented how; a function of (seed, epoch), so
nothing is saved.
"""

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from objectives.augmentation.copy_paste import FrameAugmenter, pasted_frames
from objectives.augmentation.crops import Cropper, crop_size, crops_in, trained_spec
from objectives.augmentation.transforms import frame_seed
from objectives.config import Config
from objectives.data.dataset import Dataset, rare_frames
from objectives.device.shared_memory import AHEAD, prefetchers_with_room, shared_memory_free
from objectives.lifeline import end_with_parent
from objectives.program.pixels import raw_BCHW, widened

# lets torch ask the driver whether there is a GPU, without starting CUDA
BY_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"
NONE_YET = -1  # the epoch of an order that has not begun: no batch


@dataclass(frozen=True)
class Key:
    """One frame to load: its index in the data set, and the seed of its augmentation."""

    frame: int
    seed: int
    again: bool = False  # it has appeared in this epoch before
    # the chance that it gets pieces of the rarest class; None: as the config says
    pasted: float | None = None


def count_batches(frames: int, batch_size: int) -> int:
    """Return into how many batches the frames of an epoch are dealt."""
    return max(1, math.ceil(frames / batch_size))


def frames_a_batch(frames: int, batch_size: int) -> int:
    """Return how many frames each batch of an epoch of so many holds."""
    return math.ceil(frames / count_batches(frames, batch_size))


class EpochOrder(Sampler[list[Key]]):
    """Batches of keys for one epoch after the other; set ``epoch`` before iterating.

    Every training frame appears ``repeat`` times, or so many times as often as it is larger than what the
    network is trained on, frames with the rarest class ``rare_repeat``
    times as often, in an order drawn from (seed, epoch). All batches are of one size: the frames
    dealt evenly into as few as ``batch_size`` allows, the last one filled with the first frames of
    the epoch, once more and augmented anew.
    ``steps_per_epoch`` above 0 keeps the first so many batches. With ``rare_pasted`` the frames
    that get pieces of the rarest class are drawn once, from the seed, and are repeated like those
    that hold it.
    """

    def __init__(self, config: Config, data: Dataset, seed: int) -> None:
        train = config.train
        crop = crop_size(train, data.spec)
        part = data.parts["train"]
        times = [crops_in(data.masks[frame].shape, crop) for frame in part.tolist()]
        every = np.repeat(part, times)
        share = config.augment.copy_paste
        self.pasted = (
            set(pasted_frames(data, share, seed).tolist()) if train.rare_pasted and share else None
        )
        rare = rare_frames(data) if train.rare_repeat > 1 else np.empty(0, np.int64)
        if train.rare_repeat > 1 and self.pasted:
            rare = np.sort(np.concatenate([rare, np.array(sorted(self.pasted), np.int64)]))
        rare = every[np.isin(every, rare)]
        self.once = len(every)  # the first so many places hold each frame as often as its crops
        self.frames = np.concatenate(
            [*[every] * train.repeat, *[rare] * (train.repeat * (train.rare_repeat - 1))]
        )
        self.batches = count_batches(len(self.frames), train.batch_size)
        self.size = frames_a_batch(len(self.frames), train.batch_size)
        self.steps = min(self.batches, train.steps_per_epoch or self.batches)
        self.seed = seed
        self.epoch = NONE_YET

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Key]]:
        if self.epoch == NONE_YET:
            return
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.frames))
        # fewer than a batch holds, so none is in one batch twice for this
        lacking = self.batches * self.size - len(order)
        places = np.concatenate([order, order[:lacking] + len(order)])
        for batch in places.reshape(self.batches, self.size)[: self.steps]:
            yield [self._key(int(place)) for place in batch]

    def _key(self, place: int) -> Key:
        # the place, not only the frame: a frame that is repeated is augmented anew each time
        frame = int(self.frames[place % len(self.frames)])
        pasted = None if self.pasted is None else float(frame in self.pasted)
        return Key(
            frame,
            frame_seed(self.seed, self.epoch, frame, place),
            again=place >= self.once,
            pasted=pasted,
        )


class AugmentedFrames(TorchDataset[tuple[np.ndarray, np.ndarray]]):
    """Augmented frames or crops of them (H, W, C), and masks (H, W), by key."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.data = data
        self.crop = Cropper(config.train, data)
        self.augment = FrameAugmenter(config.augment, data)
        self.keeps_originals = config.augment.keep_originals

    def __getitem__(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        whole_HWC, whole_HW = self.data.images[key.frame], self.data.masks[key.frame]
        image_HWC, mask_HW = self.crop(whole_HWC, whole_HW, key.frame, key.seed)
        if self.keeps_originals and not key.again:
            return image_HWC, mask_HW
        return self.augment(image_HWC, mask_HW, key.seed, key.pasted)


class TrainingBatches:
    """Batches of raw pixels (B, C, H, W) and labels (B, H, W) int64 on the device, epoch by epoch.

    Prefetchers are processes that augment ahead, forked here and now: they get the frames without a
    copy, and nothing that this process opens later. So make the batches before the first CUDA call
    (who holds a GPU's files open holds the memory of the process that it was forked from), and
    before threads that may hold a lock. They end with the thread that made them, however that ends.
    Without prefetchers, and where shared memory has no room for one, frames are augmented in line:
    on a CPU the training itself uses every core. The batches are the same, whatever makes them.
    """

    def __init__(
        self, config: Config, data: Dataset, seed: int, *, device: torch.device, prefetchers: int
    ) -> None:
        self.config = config
        self.data = data
        self.seed = seed
        self.device = device
        self.order = EpochOrder(config, data, seed)
        useful = min(prefetchers, len(self.order))
        trained_on = trained_spec(config.train, data.spec)
        self.prefetchers = prefetchers_with_room(useful, config, trained_on, shared_memory_free())
        self.crowded = self.prefetchers < useful  # shared memory has no room for all of them
        with _own_choice():
            self.loader = DataLoader(
                AugmentedFrames(config, data),
                batch_sampler=self.order,
                collate_fn=collate,
                num_workers=self.prefetchers,
                prefetch_factor=AHEAD if self.prefetchers else None,
                # never this process's own: that is a server
                multiprocessing_context="fork" if self.prefetchers else None,
                worker_init_fn=partial(_end_with, os.getpid()),
                persistent_workers=self.prefetchers > 0,
                pin_memory=device.type == "cuda",
                # its own, or each start of it would move the generator of dropout
                generator=torch.Generator(),
            )
            if self.prefetchers:
                iter(self.loader)  # forks them; there is no epoch yet, so nothing is made ahead

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch."""
        self.order.epoch = number
        for images_BCHW, masks_BHW in self.loader:
            pixels_BCHW = widened(images_BCHW.to(self.device, non_blocking=True))
            yield pixels_BCHW, masks_BHW.to(self.device, non_blocking=True).long()


def collate(frames: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """Stack frames (H, W, C) and masks (H, W) into tensors (B, C, H, W) and (B, H, W) of the same
    types.

    Raises:
        RuntimeError: In a prefetcher for which shared memory has no room.
    """
    images, masks = zip(*frames, strict=True)
    batch = raw_BCHW(np.stack(images)), torch.from_numpy(np.stack(masks))
    if get_worker_info() is not None:
        for (
            tensor
            # here: a queue does it in a thread, which loses an error, and whoever waits for the
            # batch waits on
        ) in batch:
            tensor.share_memory_()  # type: ignore[no-untyped-call]  # torch's own
    return batch


@contextmanager
def _own_choice() -> Iterator[None]:
    """Yield a loader that pins memory asks whether there is a GPU, which would start CUDA before it
    forks; and it warns of more prefetchers than cores, which are the caller's to count.
    """
    before = os.environ.get(BY_DRIVER)
    os.environ[BY_DRIVER] = "1"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            yield
    finally:
        os.environ.pop(BY_DRIVER)
        os.environ.update({BY_DRIVER: before} if before is not None else {})


def _end_with(parent: int, _: int) -> None:
    """Begin as a prefetcher, whose number does not matter."""
    end_with_parent(parent)
