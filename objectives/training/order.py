"""Which frames an epoch holds, in which order and batches; a function of (seed, epoch), so nothing is saved."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from objectives.augmentation.copy_paste import pasted_frames
from objectives.augmentation.crops import crop_size, crops_in
from objectives.augmentation.transforms import frame_seed
from objectives.config import Config
from objectives.data.dataset import Dataset, rare_frames

NONE_YET = -1  # the epoch of an order that has not begun: no batch


@dataclass(frozen=True)
class Key:
    """One frame to load: its index in the data set, and the seed of its augmentation."""

    frame: int
    seed: int
    again: bool = False  # it has appeared in this epoch before
    # the chance that it gets pieces of the rarest class; None: as the config says
    pasted: float | None = None
    place: int = 0  # among all the appearances of frames in an epoch, the same in each


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
            place=place % len(self.frames),
        )
