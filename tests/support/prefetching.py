"""A trial's process that prefetches, for a test to look at and to kill; imported by the process
that forks it.
"""

import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from objectives.config import Config, Train
from objectives.data.dataset import load_dataset
from objectives.data.ragged import Ragged
from objectives.training.batches import TrainingBatches
from search.process.messages import Noted
from search.process.parent import Count

PREFETCHERS = 3
TIME_S = 60.0


class Pixels(np.ndarray):
    """Pixels that nobody may pickle."""

    def __reduce__(self) -> NoReturn:
        raise AssertionError("pixels are pickled")


def prefetches(pipe: Connection, directory: Path, beats: Count) -> None:
    """Say the sum of an epoch's pixels made by prefetchers, the same made in line, and how long the
    first batch took.
    """
    data, config = load_dataset(directory), Config(train=Train(batch_size=8))
    images = data.images
    mapped = Ragged(images.values.view(Pixels), images.sizes_N2, images.starts_N, images.channels)
    data = replace(data, images=mapped)
    begun = time.monotonic()
    batches = TrainingBatches(config, data, 0, device=torch.device("cpu"), prefetchers=PREFETCHERS)
    epoch = batches.epoch(0)
    first = next(epoch)
    took_s = time.monotonic() - begun
    in_line = TrainingBatches(config, data, 0, device=torch.device("cpu"), prefetchers=0)
    pipe.send(Noted(f"{took_s} {_sum([first, *epoch])} {_sum(list(in_line.epoch(0)))}"))
    time.sleep(TIME_S)


def _sum(batches: list[Any]) -> int:
    return sum(int(images.sum(dtype=torch.int64)) + int(masks.sum()) for images, masks in batches)
