"""Training batches: which frames an epoch holds, in which order, how large its batches are, how
they are augmented.
"""

import math
import resource
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from objectives.augmentation.transforms import Augmenter
from objectives.config import Augment, Config, Train
from objectives.data.dataset import DataOptions, Dataset, open_dataset, rare_frames
from objectives.device import shared_memory
from objectives.device.shared_memory import batch_bytes, prefetchers_with_room, shared_memory_needed
from objectives.program.pixels import pixels_BCHW
from objectives.training import fit
from objectives.training.batches import TrainingBatches
from objectives.training.loader import AugmentedFrames, collate
from objectives.training.order import EpochOrder, Key, frames_a_batch
from search.process.causes import cause_of, dies_of, said_by
from search.process.messages import Cause

CPU = torch.device("cpu")
SAME_DATA = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def epoch_of(order: EpochOrder, number: int) -> list[list[Key]]:
    order.epoch = number
    return list(order)


def frames_of(batches: list[list[Key]]) -> list[int]:
    return [key.frame for batch in batches for key in batch]


def unfilled(order: EpochOrder, epoch: int) -> list[Key]:
    """The keys of an epoch without those that fill its last batch."""
    return [key for batch in epoch_of(order, epoch) for key in batch][: len(order.frames)]


def in_memory(
    config: Config, data: Dataset, *, seed: int = 0, epoch: int = 0, prefetchers: int = 0
) -> list[torch.Tensor]:
    batches = TrainingBatches(config, data, seed, device=CPU, prefetchers=prefetchers)
    return [tensor for batch in batches.epoch(epoch) for tensor in batch]


@SAME_DATA
@given(
    batch_size=st.integers(1, 70),
    repeat=st.integers(1, 4),
    rare_repeat=st.integers(1, 16),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
)
def test_an_epoch_holds_every_training_frame_and_rare_ones_more_often(
    terrain: Dataset, batch_size: int, repeat: int, rare_repeat: int, seed: int, epoch: int
) -> None:
    order = EpochOrder(
        Config(train=Train(batch_size=batch_size, repeat=repeat, rare_repeat=rare_repeat)),
        terrain,
        seed,
    )
    batches = epoch_of(order, epoch)
    rare = set(rare_frames(terrain).tolist())
    train = [int(frame) for frame in terrain.parts["train"]]
    assert sorted(key.frame for batch in batches for key in batch if not key.again) == sorted(train)
    frames = frames_of(batches)
    asked = sum(repeat * (rare_repeat if frame in rare else 1) for frame in train)
    assert Counter(frames[:asked]) == {
        frame: repeat * (rare_repeat if frame in rare else 1) for frame in train
    }
    assert len(batches) == len(order)
    assert {len(batch) for batch in batches} == {math.ceil(asked / math.ceil(asked / batch_size))}
    lacking = len(frames) - asked
    assert lacking < len(batches)
    assert frames[asked:] == frames[:lacking]


def test_originals_are_kept_once_an_epoch_and_their_repetitions_augmented(terrain: Dataset) -> None:
    augment = Augment(intensity=1.0, photometric=False, copy_paste=1.0, keep_originals=True)
    config = Config(augment=augment, train=Train(repeat=2))
    frames, kept, changed = AugmentedFrames(config, terrain), 0, 0
    for key in (key for batch in epoch_of(EpochOrder(config, terrain, 0), 0) for key in batch):
        image_HWC, mask_HW = frames[key]
        same = (image_HWC == terrain.images[key.frame]).all() and (
            mask_HW == terrain.masks[key.frame]
        ).all()
        assert same or key.again
        kept, changed = kept + (not key.again), changed + (not same)
    assert kept == len(terrain.parts["train"])
    assert changed > kept / 2


def test_frames_that_get_pieces_count_as_rare_when_asked(terrain: Dataset) -> None:
    augment = Augment(intensity=0.0, copy_paste=0.5, copy_paste_edge="hard")
    config = Config(augment=augment, train=Train(repeat=2, rare_repeat=3, rare_pasted=True))
    train, rare = set(terrain.parts["train"].tolist()), set(rare_frames(terrain).tolist())
    order, frames = EpochOrder(config, terrain, 0), AugmentedFrames(config, terrain)
    pasted = order.pasted or set()
    assert len(pasted) == round(0.5 * len(train - rare))
    assert pasted < train - rare
    for epoch in (0, 1):  # the same frames in every epoch
        keys = unfilled(order, epoch)
        assert Counter(key.frame for key in keys) == {
            frame: 6 if frame in rare | pasted else 2 for frame in train
        }
        for key in keys:
            assert (frames[key][1] == 4).any() == (key.frame in rare | pasted)
    assert EpochOrder(config, terrain, 1).pasted != pasted
    plain = config.model_copy(update={"train": Train(repeat=2, rare_repeat=3)})
    assert Counter(key.frame for key in unfilled(EpochOrder(plain, terrain, 0), 0)) == {
        f: 6 if f in rare else 2 for f in train
    }


def test_without_pieces_no_frame_counts_as_rare(terrain: Dataset) -> None:
    masks = np.asarray(terrain.masks)
    pixels = np.array(terrain.class_pixels)
    pixels[:, 4] = 0
    bare = replace(terrain, masks=np.where(masks == 4, 1, masks), class_pixels=pixels)
    config = Config(augment=Augment(copy_paste=1.0), train=Train(rare_repeat=3, rare_pasted=True))
    assert sorted(key.frame for key in unfilled(EpochOrder(config, bare, 0), 0)) == sorted(
        bare.parts["train"].tolist()
    )


def test_rare_frames_are_those_with_the_rarest_class(terrain: Dataset) -> None:
    rare = rare_frames(terrain)
    assert 0 < len(rare) < len(terrain.parts["train"])
    rarest = min(terrain.spec.scored, key=lambda label: int(terrain.pixel_counts[label]))
    assert rarest == 4, "big rock"
    assert [
        int(frame) for frame in terrain.parts["train"] if (terrain.masks[frame] == rarest).any()
    ] == rare.tolist()


def test_the_order_is_a_function_of_seed_and_epoch(terrain: Dataset) -> None:
    config = Config(train=Train(batch_size=8, rare_repeat=2))
    order = EpochOrder(config, terrain, 5)
    first = [epoch_of(order, epoch) for epoch in (0, 1, 2)]
    again = EpochOrder(config, terrain, 5)
    assert [epoch_of(again, epoch) for epoch in (2, 0, 1)] == [first[2], first[0], first[1]]
    assert len({tuple(frames_of(epoch)) for epoch in first}) == 3
    assert frames_of(epoch_of(EpochOrder(config, terrain, 6), 0)) != frames_of(first[0])


def test_every_appearance_of_a_frame_is_augmented_with_a_seed_of_its_own(terrain: Dataset) -> None:
    order = EpochOrder(Config(train=Train(rare_repeat=3, batch_size=9)), terrain, 0)
    assert len(order.frames) % 9, "no batch is filled"
    keys = [key for epoch in range(5) for batch in epoch_of(order, epoch) for key in batch]
    assert len({key.seed for key in keys}) == len(keys)
    assert all(0 <= key.seed < 2**32 for key in keys)


@pytest.mark.parametrize("wanted", [0, 2, 5, 100])
def test_steps_per_epoch_keeps_the_first_batches(terrain: Dataset, wanted: int) -> None:
    whole = EpochOrder(Config(train=Train(batch_size=8)), terrain, 0)
    assert len(whole) >= 5, "the fixture has changed"
    steps = min(wanted or len(whole), len(whole))
    order = EpochOrder(Config(train=Train(batch_size=8, steps_per_epoch=wanted)), terrain, 0)
    assert len(order) == steps
    assert epoch_of(order, 3) == epoch_of(whole, 3)[:steps]


@pytest.mark.parametrize(
    "train",
    [
        Train(batch_size=8),
        Train(batch_size=7),
        Train(batch_size=2),
        Train(batch_size=1),
        Train(batch_size=500),
        Train(batch_size=9, rare_repeat=3),
    ],
)
def test_the_largest_batch_is_told_beforehand(terrain: Dataset, train: Train) -> None:
    order = EpochOrder(Config(train=train), terrain, 0)
    assert max(len(batch) for batch in epoch_of(order, 0)) == frames_a_batch(
        len(order.frames), train.batch_size
    )


def test_a_batch_holds_the_augmented_frames_of_its_keys(terrain: Dataset) -> None:
    config = Config(augment=Augment(intensity=0.8), train=Train(batch_size=8))
    augment = Augmenter(config.augment, terrain.spec)
    batches = TrainingBatches(config, terrain, 3, device=CPU, prefetchers=0)
    got = list(batches.epoch(2))
    assert len(got) == len(batches)
    order = EpochOrder(config, terrain, 3)
    for keys, (images_BCHW, masks_BHW) in zip(epoch_of(order, 2), got, strict=True):
        assert (images_BCHW.dtype, masks_BHW.dtype) == (torch.uint8, torch.int64)
        assert images_BCHW.shape == (
            len(keys),
            terrain.spec.channels,
            terrain.spec.height,
            terrain.spec.width,
        )
        assert images_BCHW.is_contiguous(memory_format=torch.channels_last)
        for key, image_CHW, mask_HW in zip(keys, images_BCHW, masks_BHW, strict=True):
            image, mask = augment(
                np.asarray(terrain.images[key.frame]),
                np.asarray(terrain.masks[key.frame]),
                key.seed,
            )
            np.testing.assert_array_equal(image_CHW.permute(1, 2, 0), image)
            np.testing.assert_array_equal(mask_HW, mask)


def test_frames_without_the_rarest_class_get_pieces_of_it(terrain: Dataset) -> None:
    def share_of_rare_frames(share: float) -> float:
        config = Config(
            augment=Augment(intensity=0.0, copy_paste=share), train=Train(batch_size=64)
        )
        masks_BHW = torch.cat(in_memory(config, terrain, epoch=1)[1::2])
        return float((masks_BHW == 4).any(dim=2).any(dim=1).float().mean())

    bare = share_of_rare_frames(0.0)
    assert bare == pytest.approx(len(rare_frames(terrain)) / len(terrain.parts["train"]))
    assert share_of_rare_frames(1.0) > 0.95
    assert share_of_rare_frames(0.5) == pytest.approx(bare + 0.5 * (1 - bare), abs=0.2)


def test_batches_depend_on_neither_prefetching_nor_torchs_generator(terrain: Dataset) -> None:
    config = Config(augment=Augment(intensity=0.8, copy_paste=0.8), train=Train(batch_size=16))
    torch.manual_seed(1)
    here = in_memory(config, terrain, epoch=1)
    assert torch.initial_seed() == 1
    untouched = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(untouched, torch.get_rng_state()), (
        "batches must not move the generator that dropout draws from"
    )
    for prefetchers in (1, 4):
        elsewhere = in_memory(config, terrain, epoch=1, prefetchers=prefetchers)
        assert len(here) == len(elsewhere) > 2
        assert all(torch.equal(a, b) for a, b in zip(here, elsewhere, strict=True))
    other = in_memory(config, terrain, seed=1, epoch=1)
    assert not all(torch.equal(a, b) for a, b in zip(here, other, strict=True))


def test_frames_of_16_bit_and_many_channels_become_floats_of_the_same_values(
    terrain: Dataset,
) -> None:
    wide = np.repeat(np.asarray(terrain.images).astype(np.uint16) * 257, 6, axis=3)
    spec = terrain.spec.model_copy(
        update={"channels": 6, "max_value": 65535, "mean": (0.4,) * 6, "std": (0.2,) * 6}
    )
    data = replace(terrain, images=wide, spec=spec)
    plain = in_memory(Config(augment=Augment(intensity=0.0), train=Train(batch_size=64)), data)
    (keys,) = epoch_of(EpochOrder(Config(train=Train(batch_size=64)), data, 0), 0)
    assert plain[0].dtype == torch.float32
    np.testing.assert_array_equal(plain[0].permute(0, 2, 3, 1), wide[[key.frame for key in keys]])
    augmented = in_memory(Config(augment=Augment(intensity=0.8), train=Train(batch_size=64)), data)
    assert augmented[0].shape == plain[0].shape
    assert 255 < augmented[0].max() <= 65535


def test_frames_of_16_bit_travel_as_they_are_stored(terrain: Dataset) -> None:
    wide = replace(terrain, images=np.asarray(terrain.images).astype(np.uint16) * 257)
    config = Config(augment=Augment(intensity=0.0), train=Train(batch_size=8))
    images, masks = collate([AugmentedFrames(config, wide)[Key(frame, 1)] for frame in range(8)])
    assert (images.dtype, masks.dtype) == (torch.uint16, torch.uint8)
    spec = terrain.spec.model_copy(update={"max_value": 65535})
    assert images.nbytes + masks.nbytes == batch_bytes(8, spec)
    here, elsewhere = (in_memory(config, wide, prefetchers=prefetchers) for prefetchers in (0, 2))
    assert all(torch.equal(a, b) for a, b in zip(here, elsewhere, strict=True))


def test_an_epoch_that_is_left_early_leaves_nothing_behind(terrain: Dataset) -> None:
    """As when a training step fails: what was made ahead belongs to no other epoch."""
    config = Config(train=Train(batch_size=8))
    batches = TrainingBatches(config, terrain, 0, device=CPU, prefetchers=2)
    next(batches.epoch(0))
    found = [tensor for batch in batches.epoch(4) for tensor in batch]
    expected = in_memory(config, terrain, epoch=4)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_prefetchers_run_before_the_device_is_used(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forked later, they would hold the files of a GPU open, and with them the memory of a trial
    that was killed.
    """
    there = list[int]()

    class Watched(fit.TrainingState):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            there.append(len(psutil.Process().children()))
            super().__init__(*arguments, **named)

    monkeypatch.setattr(fit, "TrainingState", Watched)
    before = len(psutil.Process().children())
    fit.prepare(Config(train=Train(batch_size=8)), terrain, seed=0, device=CPU, prefetchers=3)
    assert there == [before + 3]


@pytest.mark.parametrize(
    ("free", "prefetchers"), [(0, 0), (3, 0), (4, 1), (7, 2), (8, 3), (100, 3)]
)
def test_prefetchers_are_as_many_as_shared_memory_has_room_for(
    free: int, prefetchers: int, terrain: Dataset
) -> None:
    """Two batches each, and two in hand."""
    config = Config(train=Train(batch_size=8))
    free_bytes = free * batch_bytes(8, terrain.spec)
    assert prefetchers_with_room(3, config, terrain.spec, free_bytes) == prefetchers
    assert shared_memory_needed(8, terrain.spec, prefetchers) <= free_bytes


def test_without_room_in_shared_memory_batches_are_made_in_line(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "SHARED", Path("/dev/nowhere"))
    batches = TrainingBatches(
        Config(train=Train(batch_size=8)), terrain, 0, device=CPU, prefetchers=2
    )
    assert (batches.prefetchers, batches.crowded) == (0, True)
    assert len(list(batches.epoch(0))) == len(batches)


def test_shared_memory_that_is_full_after_all_is_said(terrain: Dataset) -> None:
    """By whoever waits for a batch, who would wait for ever otherwise. A trial that it ends is
    tried again.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # of a file, also in shared memory
    try:
        batches = TrainingBatches(
            Config(train=Train(batch_size=8)), terrain, 0, device=CPU, prefetchers=1
        )
        with pytest.raises(RuntimeError, match="in DataLoader worker process 0") as caught:
            next(batches.epoch(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not dies_of(caught.value)
    assert cause_of(caught.value) is Cause.SURROUNDINGS
    assert "unable to resize file" in said_by(caught.value)


def test_a_prefetcher_without_a_batch_of_an_epoch_is_not_started(terrain: Dataset) -> None:
    batches = TrainingBatches(
        Config(train=Train(steps_per_epoch=2)), terrain, 0, device=CPU, prefetchers=5
    )
    assert (batches.prefetchers, batches.crowded) == (len(batches), False)


def test_batches_never_change_the_prepared_frames(terrain: Dataset) -> None:
    images, masks = np.array(terrain.images), np.array(terrain.masks)
    batch = collate([AugmentedFrames(Config(augment=Augment(intensity=0.0)), terrain)[Key(0, 1)]])
    for tensor in batch:
        tensor.zero_()
    pixels_BCHW(terrain.images[:4]).zero_()
    np.testing.assert_array_equal(terrain.images, images)
    np.testing.assert_array_equal(terrain.masks, masks)


def test_fewer_frames_than_a_batch_are_one_batch(tmp_path: Path) -> None:
    data = open_dataset("synthetic:24", DataOptions(min_identical=2), tmp_path)
    order = EpochOrder(Config(train=Train(batch_size=4096)), data, 0)
    assert sorted(frames_of(epoch_of(order, 0))) == data.parts["train"].tolist()
    assert len(order) == 1
