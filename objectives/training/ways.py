"""Where frames are augmented: on the host by albumentations, or in whole batches on the device that trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.augmentation.crops import crop_size
from objectives.augmentation.on_device.frames import held_bytes
from objectives.augmentation.on_device.left_to_host import needs_host
from objectives.config import Config
from objectives.data.dataset import Dataset
from objectives.device.shortage import in_words
from objectives.training.augment_on import AugmentOn
from objectives.training.order import EpochOrder

HELD_SHARE: Final = 0.3  # of the memory that a trial may take, for the frames that live there


class Way(Protocol):
    """A way of making the batches of a training; both mean the same."""

    prefetchers: int  # processes that augment ahead
    crowded: bool  # shared memory has no room for all that were asked for

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, as `TrainingBatches` says."""
        ...


@dataclass(frozen=True)
class Choice:
    """Whether a training augments on its device, how many bytes of frames live there then, and one line
    for people that says which; empty where nobody asked.
    """

    on_device: bool
    held_bytes: int
    said: str


def choose(
    asked: AugmentOn,
    config: Config,
    data: Dataset,
    order: EpochOrder,
    *,
    device: torch.device,
    memory_bytes: int,
) -> Choice:
    """Return where a training augments; ``memory_bytes`` is what it may take of the device's, 0: unknown, as
    much as is needed. Nothing is started, and nothing copied.
    """
    if asked == "host" or (asked == "auto" and device.type == "cpu"):
        return Choice(False, 0, "")
    needed = held_bytes(held_sizes(config, data, order), data)
    most = int(HELD_SHARE * memory_bytes)
    size = in_words(needed)
    if memory_bytes and needed > most:
        said = (
            f"augments on the host: its frames are {size}, more than {HELD_SHARE:g} of the "
            f"{in_words(memory_bytes)} that it may take on {device.type}"
        )
        return Choice(False, 0, said)
    return Choice(True, needed, f"augments on {device.type}, where its frames take {size}")


def held_sizes(config: Config, data: Dataset, order: EpochOrder) -> npt.NDArray[np.int64]:
    """Return (N, 2) the heights and widths of the frames that live on the device: those of the training part,
    or one crop for each appearance of one in an epoch, see `Bank`.
    """
    if not needs_host(config.augment):
        return np.array([data.masks[frame].shape for frame in data.parts["train"]], np.int64)
    size = np.array(crop_size(config.train, data.spec), np.int64)
    return np.tile(size, (len(order.frames), 1))
