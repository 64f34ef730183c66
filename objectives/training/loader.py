"""Frames that are augmented on the host, in line or by prefetchers: processes that do it ahead."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from objectives.augmentation.copy_paste import FrameAugmenter
from objectives.augmentation.crops import Cropper, trained_spec
from objectives.config import Config
from objectives.data.dataset import Dataset
from objectives.device.shared_memory import AHEAD, prefetchers_with_room, shared_memory_free
from objectives.lifeline import end_with_parent
from objectives.program.pixels import raw_BCHW
from objectives.training.order import Key

# lets torch ask the driver whether there is a GPU, without starting CUDA
BY_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"


@final
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


@final
class FrameLoader:
    """Batches of augmented frames (B, C, H, W) and masks (B, H, W) on the host, as they are stored: those of
    ``batches``, each time it is iterated.

    Prefetchers are forked here and now: they get the frames without a copy, and nothing that this process
    opens later. So make the loader before the first CUDA call (who holds a GPU's files open holds the memory
    of the process that it was forked from), and before threads that may hold a lock. They end with the thread
    that made them, however that ends. Without prefetchers, and where shared memory has no room for one, frames
    are augmented in line: on a CPU the training itself uses every core. ``batches`` must hold none at first.
    """

    def __init__(
        self,
        config: Config,
        data: Dataset,
        batches: Sampler[list[Key]],
        *,
        device: torch.device,
        prefetchers: int,
    ) -> None:
        trained_on = trained_spec(config.train, data.spec)
        self.prefetchers = prefetchers_with_room(
            prefetchers, config, trained_on, shared_memory_free()
        )
        self.crowded = self.prefetchers < prefetchers  # no room in shared memory for all of them
        with _own_choice():
            self.loader = DataLoader(
                AugmentedFrames(config, data),
                batch_sampler=batches,
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
                iter(self.loader)  # forks them; there is no batch yet, so nothing is made ahead

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.loader)


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
