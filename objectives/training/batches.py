"""Training batches: which frames, in which order, augmented how; a function of (seed, epoch), so
nothing is saved.
"""

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from objectives.config import Config
from objectives.data.dataset import Dataset
from objectives.program.pixels import widened
from objectives.training.augment_on import AugmentOn
from objectives.training.loader import FrameLoader
from objectives.training.on_device import OnDevice
from objectives.training.order import EpochOrder
from objectives.training.ways import Way, choose


@final
class TrainingBatches:
    """Batches of raw pixels (B, C, H, W) and labels (B, H, W) int64 on the device, epoch by epoch.

    They are augmented on the host by albumentations, or on the device where that is asked for and the frames
    fit, see `choose`. Each way gives the same batches of an epoch whatever came before it, in which process
    and however far ahead. Make them before the first CUDA call: prefetchers may be forked, see `FrameLoader`.
    """

    def __init__(
        self,
        config: Config,
        data: Dataset,
        seed: int,
        *,
        device: torch.device,
        prefetchers: int,
        augment_on: AugmentOn = "host",
        memory_bytes: int = 0,
    ) -> None:
        self.config = config
        self.data = data
        self.seed = seed
        self.device = device
        self.order = EpochOrder(config, data, seed)
        self.choice = choose(
            augment_on, config, data, self.order, device=device, memory_bytes=memory_bytes
        )
        make = OnDevice if self.choice.on_device else OnHost
        self.way: Way = make(config, data, self.order, device=device, prefetchers=prefetchers)
        self.prefetchers = self.way.prefetchers
        self.crowded = self.way.crowded

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch."""
        return self.way.epoch(number)


@final
class OnHost:
    """Augments on the host, in line or by prefetchers, and copies each batch to the device."""

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
        self.device = device
        self.loader = FrameLoader(
            config, data, order, device=device, prefetchers=min(prefetchers, len(order))
        )
        self.prefetchers = self.loader.prefetchers
        self.crowded = self.loader.crowded

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, as `TrainingBatches` says."""
        self.order.epoch = number
        for images_BCHW, masks_BHW in self.loader:
            pixels_BCHW = widened(images_BCHW.to(self.device, non_blocking=True))
            yield pixels_BCHW, masks_BHW.to(self.device, non_blocking=True).long()
