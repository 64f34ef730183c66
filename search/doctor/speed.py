"""How long a training takes on this machine, from a few steps of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from objectives.config import Config
from objectives.data.dataset import Dataset
from objectives.errors import SearchError, UserError
from objectives.scoring.evaluate import Beside, evaluate
from objectives.training.fit import prepare, train_epoch
from objectives.training.order import EpochOrder
from objectives.training.resources import estimate
from search.process.causes import UNKNOWN
from search.study.spread import random_configs
from spaces import Space

STEPS = 4  # that are timed, after as many to warm up
FRAMES = 32  # of validation that are scored for it, at most


@dataclass(frozen=True)
class Speed:
    """What a whole training of a config takes, of all its epochs."""

    multiply_adds: int  # of one frame, forward
    epochs: int
    seconds: float
    memory_bytes: int  # of the GPU at most; 0 on a CPU


def largest(space: Space, data: Dataset, seed: int) -> Config:
    """Return the config with the most multiply-adds of the control and `DRAWN` random ones; those
    that cannot be built are left out.
    """
    configs = (space.default(), *random_configs(space, seed))
    sized = [(_multiply_adds(config, data), config) for config in configs]
    return max(sized, key=lambda each: each[0])[1]


def measure(config: Config, data: Dataset, device: torch.device) -> Speed:
    """Train and score a little on the device, and return what the whole will take; frames are
    augmented in line.

    Raises:
        SearchError: The config cannot be trained here.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    few = config.train.model_copy(update={"steps_per_epoch": STEPS})
    training = prepare(config.model_copy(update={"train": few}), data, seed=0, device=device)
    frames = data.parts["validation"][:FRAMES]

    def score() -> None:
        model = training.state.average.model
        images, masks = data.images[frames], data.masks[frames]
        evaluate(model, images, masks, data.spec, device=device, beside=Beside(soft=True))

    step_s = _second_turn_s(lambda: train_epoch(training)) / len(training.batches)
    frame_s = _second_turn_s(score) / len(frames)
    steps = len(EpochOrder(config, data, 0))
    epoch_s = steps * step_s + len(data.parts["validation"]) * frame_s
    return Speed(
        _multiply_adds(config, data),
        config.train.epochs,
        config.train.epochs * epoch_s,
        torch.cuda.max_memory_allocated(device) if on_gpu else 0,
    )


def measured(config: Config, data: Dataset, device: torch.device) -> Speed | str:
    """Return the same, or in words why the config cannot be trained here."""
    try:
        return measure(config, data, device)
    except SearchError as error:
        return str(error)


def _second_turn_s(work: Callable[[], object]) -> float:
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _multiply_adds(config: Config, data: Dataset) -> int:
    try:
        return estimate(config, data.spec).multiply_adds
    except (UserError, *UNKNOWN):
        return 0
