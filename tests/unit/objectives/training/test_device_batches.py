"""Batches that are augmented on the device: the same frames in the same order as the host's, exact after a
resume, of any size and depth; and a training on them.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from objectives.augmentation.on_device.frames import HeldFrames
from objectives.augmentation.on_device.resizing import resized
from objectives.augmentation.transforms import frame_seed
from objectives.config import Augment, Config, Train, UNet
from objectives.data.dataset import Dataset, open_dataset
from objectives.data.options import DataOptions
from objectives.data.preparing.resize import resize_image, resize_mask
from objectives.training.augment_on import AugmentOn
from objectives.training.batches import TrainingBatches
from objectives.training.fit import begin, fit, prepare
from objectives.training.loader import AugmentedFrames
from objectives.training.on_device import BANK_EPOCHS
from objectives.training.order import EpochOrder
from objectives.training.ways import HELD_SHARE, choose
from tests.unit.objectives.augmentation.test_crops import WINDOW, made

CPU = torch.device("cpu")
STILL = Augment(intensity=0.0)
PASTED = Augment(intensity=0.0, copy_paste=0.7, copy_paste_edge="hard")
Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module", params=["ignore: 3\n", "ignore: null\n"], ids=["ignored", "none"])
def ragged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = made(tmp_path_factory.mktemp("ragged") / "frames", request.param)
    options = DataOptions(window=WINDOW, scored=(0, 1, 2))
    return open_dataset(str(root), options, root / "cache")


def batches_of(
    config: Config, data: Dataset, on: AugmentOn = "device", *, seed: int = 3, prefetchers: int = 0
) -> TrainingBatches:
    return TrainingBatches(config, data, seed, device=CPU, prefetchers=prefetchers, augment_on=on)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        torch.equal(left, right)
        for pair in zip(one, other, strict=True)
        for left, right in zip(*pair, strict=True)
    )


def wide(data: Dataset) -> Dataset:
    """Six channels of 16 bits, all different."""
    images = np.asarray(data.images).astype(np.uint16) * 257
    images = np.concatenate([images // (1 + channel) for channel in range(6)], axis=3)
    spec = data.spec.model_copy(
        update={
            "channels": 6,
            "max_value": 65535,
            "mean": (0.4,) * 6,
            "std": (0.2,) * 6,
            "ranges": ((0.0, 1.0),) * 6,
        }
    )
    return replace(data, images=images, spec=spec)


def test_unchanged_frames_are_those_of_the_host(terrain: Dataset) -> None:
    train = Train(batch_size=8, repeat=2, rare_repeat=3)
    for data in (terrain, wide(terrain)):
        config = Config(augment=STILL, train=train)
        here, there = (batches_of(config, data, on) for on in ("device", "host"))
        assert len(here) == len(there) > 5
        for epoch in (0, 7):
            found, expected = list(here.epoch(epoch)), list(there.epoch(epoch))
            assert same(found, expected)
            for (images, masks), (theirs, _) in zip(found, expected, strict=True):
                assert (images.dtype, masks.dtype) == (theirs.dtype, torch.int64)
                assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("scale", "most"), [(1.0, 1.0), (1.0, 0.6), (1.7, 1.0)], ids=["cut", "mixed", "scaled"]
)
@pytest.mark.parametrize("crop", ["16x24", "90x60"], ids=["small", "beyond"])
def test_crops_are_those_of_the_host(ragged: Dataset, crop: str, scale: float, most: float) -> None:
    train = Train(crop=crop, crop_scale=scale, crop_most=most, batch_size=4)
    config = Config(augment=STILL, train=train)
    found, expected = (list(batches_of(config, ragged, on).epoch(2)) for on in ("device", "host"))
    assert len(found) == len(expected)
    for (images, masks), (theirs, their_masks) in zip(found, expected, strict=True):
        assert torch.equal(masks, their_masks)
        apart = (images.float() - theirs.float()).abs()
        assert apart.max() <= (1.0 if scale != 1.0 else 0.0)
        assert (apart > 0).float().mean() < 0.1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_regions_are_resized_as_opencv_does(dtype: type) -> None:
    """Which takes weights of 11 bits for bytes that grow."""
    rng = np.random.default_rng(0)
    for size in ((16, 16), (7, 31), (40, 25)):
        for _ in range(20):
            height, width = (max(1, round(side * 2 ** rng.uniform(-1, 1))) for side in size)
            if (height >= size[0]) != (width >= size[1]):
                continue
            image = rng.integers(0, np.iinfo(dtype).max, (height, width, 3), endpoint=True)
            image, mask = image.astype(dtype), rng.integers(0, 9, (height, width)).astype(np.uint8)
            found, labels = resized(
                torch.from_numpy(image).permute(2, 0, 1).float(),
                torch.from_numpy(mask),
                size,
                stored=torch.from_numpy(image).dtype,
            )
            expected = resize_image(image, *size).astype(float)
            apart = np.abs(found.permute(1, 2, 0).numpy() - expected)
            assert apart.max() <= 1.0
            assert (apart > 0).mean() < (0.2 if dtype == np.uint8 else 0.05)
            np.testing.assert_array_equal(labels, resize_mask(mask, *size))


@pytest.mark.parametrize(
    "augment",
    [
        Augment(intensity=0.8, vertical_flip=True),
        Augment(intensity=0.8, elastic=True, copy_paste=0.5),
    ],
    ids=["moved", "banked"],
)
def test_an_epoch_is_the_same_whatever_came_before(terrain: Dataset, augment: Augment) -> None:
    config = Config(augment=augment, train=Train(batch_size=9, rare_repeat=2))
    torch.manual_seed(1)
    untouched = torch.get_rng_state()
    in_a_row = batches_of(config, terrain)
    epochs = [list(in_a_row.epoch(number)) for number in range(BANK_EPOCHS + 2)]
    assert torch.equal(untouched, torch.get_rng_state()), "dropout draws from it"
    for number in (1, BANK_EPOCHS - 1, BANK_EPOCHS + 1):
        for prefetchers in (0, 2):
            afresh = batches_of(config, terrain, prefetchers=prefetchers)
            assert same(list(afresh.epoch(number)), epochs[number])
    assert not same(epochs[1], epochs[2])
    assert not same(list(batches_of(config, terrain, seed=4).epoch(1)), epochs[1])


def test_an_epoch_that_is_left_early_leaves_nothing_behind(terrain: Dataset) -> None:
    """As when a training step fails: what is in the bank by then is what it would hold anyway."""
    config = Config(augment=Augment(elastic=True), train=Train(batch_size=8))
    expected = list(batches_of(config, terrain).epoch(2))
    for prefetchers in (0, 2):
        batches = batches_of(config, terrain, prefetchers=prefetchers)
        next(batches.epoch(0))
        assert same(list(batches.epoch(2)), expected)


def test_appearances_of_a_frame_differ(terrain: Dataset) -> None:
    config = Config(augment=Augment(intensity=0.8), train=Train(batch_size=64, repeat=3))
    images = torch.cat([images for images, _ in batches_of(config, terrain).epoch(0)])
    assert len({image.numpy().tobytes() for image in images}) == len(images)


def test_originals_are_kept_once_an_epoch(terrain: Dataset) -> None:
    for elastic in (False, True):
        augment = Augment(
            intensity=1.0, keep_originals=True, elastic=elastic, copy_paste=0.5 * elastic
        )
        config = Config(augment=augment, train=Train(repeat=2, batch_size=1))
        batches = batches_of(config, terrain)
        order = EpochOrder(config, terrain, 3)
        for epoch in (0, 1):
            order.epoch = epoch
            kept = 0
            for (key,), (images, masks) in zip(order, batches.epoch(epoch), strict=True):
                frame = torch.from_numpy(np.array(terrain.images[key.frame])).permute(2, 0, 1)
                mask = torch.from_numpy(np.array(terrain.masks[key.frame])).long()
                as_it_is = torch.equal(images[0], frame) and torch.equal(masks[0], mask)
                assert as_it_is or key.again
                kept += as_it_is
            assert kept < 1.2 * len(terrain.parts["train"])


WARPED = Augment(intensity=0.8, elastic=True, flip=False, geometry=False, photometric=False)


def test_the_bank_holds_what_the_host_makes_of_frames(terrain: Dataset) -> None:
    check_bank(Config(augment=PASTED, train=Train(batch_size=8)), terrain)


def test_the_bank_holds_what_the_host_makes_of_crops(ragged: Dataset) -> None:
    train = Train(crop="24x24", crop_scale=1.3, batch_size=8)
    check_bank(Config(augment=WARPED, train=train), ragged)
    check_bank(Config(augment=PASTED, train=train), ragged)


def check_bank(config: Config, data: Dataset) -> None:
    """What is in the bank is made by a seed of the first of its epochs, and made anew for the next."""
    batches, order = batches_of(config, data), EpochOrder(config, data, 3)
    host = AugmentedFrames(config, data)
    seen: list[dict[int, bytes]] = []
    for epoch in (0, 1, BANK_EPOCHS):
        order.epoch = epoch
        first = epoch // BANK_EPOCHS * BANK_EPOCHS
        seen.append({})
        for keys, (images, masks) in zip(order, batches.epoch(epoch), strict=True):
            for key, image, mask in zip(keys, images, masks, strict=True):
                expected, label = host[
                    replace(key, seed=frame_seed(3, first, key.frame, key.place))
                ]
                np.testing.assert_array_equal(image.permute(1, 2, 0), expected)
                np.testing.assert_array_equal(mask, label)
                seen[-1][key.place] = expected.tobytes()
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_the_bank_makes_no_more_than_an_epoch_needs(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = list[int]()
    monkeypatch.setattr(HeldFrames, "put", lambda *_: pytest.fail("the frames live in the bank"))
    config = Config(augment=PASTED, train=Train(batch_size=8, steps_per_epoch=2))
    batches = batches_of(config, terrain)
    for epoch in range(3):
        assert len(list(batches.epoch(epoch))) == 2
        kept.append(len(batches.way.source.made))  # type: ignore[attr-defined]
    assert kept[0] == 16
    assert kept[0] < kept[1] < kept[2] <= 48


def test_frames_that_get_pieces_for_rarity_are_the_same_in_every_epoch(terrain: Dataset) -> None:
    train = Train(repeat=2, rare_repeat=3, rare_pasted=True, batch_size=16)
    config = Config(augment=PASTED, train=train)
    batches, order = batches_of(config, terrain), EpochOrder(config, terrain, 3)
    assert order.pasted
    for epoch in (0, 1, BANK_EPOCHS):
        order.epoch = epoch
        for keys, (_, masks) in zip(order, batches.epoch(epoch), strict=True):
            for key, mask in zip(keys, masks, strict=True):
                rare = bool((np.asarray(terrain.masks[key.frame]) == 4).any())
                assert bool((mask == 4).any()) == (rare or key.frame in order.pasted)


def test_where_a_training_augments(terrain: Dataset) -> None:
    config, cuda = Config(train=Train(batch_size=8)), torch.device("cuda")
    order = EpochOrder(config, terrain, 0)

    def chosen(
        asked: AugmentOn, device: torch.device, memory: int, of: Config = config
    ) -> tuple[bool, int]:
        choice = choose(asked, of, terrain, order, device=device, memory_bytes=memory)
        assert bool(choice.said) == (asked != "host" and (asked, device) != ("auto", CPU))
        assert "\n" not in choice.said
        return choice.on_device, choice.held_bytes

    frames = len(terrain.parts["train"])
    held = frames * 64 * 128 * 2
    enough = int(held / HELD_SHARE) + 8
    assert chosen("host", cuda, 0) == chosen("auto", CPU, 0) == (False, 0)
    assert chosen("auto", cuda, 0) == chosen("device", CPU, 0) == (True, held)
    assert chosen("device", CPU, enough) == (True, held)
    assert chosen("device", CPU, enough - 16) == chosen("auto", cuda, enough - 16) == (False, 0)
    # a bank has every appearance
    repeated = Config(train=Train(repeat=3), augment=PASTED)
    order = EpochOrder(repeated, terrain, 0)
    assert chosen("device", CPU, 0, repeated) == (True, 3 * held)


def test_frames_that_do_not_fit_are_augmented_by_the_host(terrain: Dataset) -> None:
    config = Config(augment=Augment(intensity=0.7), train=Train(batch_size=8))
    batches = TrainingBatches(
        config, terrain, 3, device=CPU, prefetchers=2, augment_on="device", memory_bytes=1000
    )
    assert batches.prefetchers == 2
    assert "more than 0.3 of" in batches.choice.said
    assert same(list(batches.epoch(1)), list(batches_of(config, terrain, "host").epoch(1)))


def test_nothing_is_copied_before_the_first_epoch(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU must not be started while prefetchers may still be forked."""
    monkeypatch.setattr(HeldFrames, "empty", lambda *_: pytest.fail("copied"))
    for augment in (Augment(), Augment(elastic=True)):
        config = Config(augment=augment, train=Train(batch_size=8))
        batches = batches_of(config, terrain, prefetchers=2)
        assert batches.prefetchers == (2 if augment.elastic else 0)


@pytest.mark.parametrize("elastic", [False, True], ids=["moved", "banked"])
def test_a_training_on_it_goes_on_exactly_elsewhere(terrain: Dataset, elastic: bool) -> None:
    config = Config(
        model=UNet(depth=2, base_filters=4, dropout=0.3),
        augment=Augment(intensity=0.7, elastic=elastic),
        train=Train(epochs=3, batch_size=16, scale=0.5, steps_per_epoch=2),
    )
    whole = prepare(config, terrain, seed=0, device=CPU, augment_on="device")
    expected = [(result.loss, result.score) for result in fit(whole)]
    assert whole.state.finished
    first = begin(batches_of(config, terrain, seed=0))
    start = next(fit(first))
    saved = first.state.to_bytes()
    again = begin(batches_of(config, terrain, seed=0))
    again.state.load_bytes(saved)
    rest = [(result.loss, result.score) for result in fit(again)]
    assert [(start.loss, start.score), *rest] == expected


def test_frames_of_16_bit_and_many_channels(terrain: Dataset) -> None:
    config = Config(augment=Augment(intensity=0.8), train=Train(batch_size=64))
    ((images, masks),) = batches_of(config, wide(terrain)).epoch(0)
    assert (images.dtype, masks.dtype) == (torch.float32, torch.int64)
    assert images.shape[1] == 6
    assert 255 < images.max() <= 65535
    assert (images == images.round()).all()


class WithoutUnsigned(TorchDispatchMode):
    """Refuses what CUDA does with no unsigned numbers of 16 bits: all but to copy and to look at them."""

    able = frozenset(
        {
            "_to_copy",
            "copy_",
            "view",
            "permute",
            "slice",
            "select",
            "empty",
            "detach",
            "lift_fresh",
            "as_strided",
            "split",
        }
    )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        values = [*args, *(kwargs or {}).values()]
        unsigned = any(isinstance(v, torch.Tensor) and v.dtype == torch.uint16 for v in values)
        name = func.overloadpacket.__name__
        assert not unsigned or name in self.able, f"{name} of unsigned numbers"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "config",
    [
        Config(augment=Augment(intensity=0.8), train=Train(batch_size=8)),
        Config(augment=PASTED, train=Train(batch_size=8)),
        Config(augment=STILL, train=Train(batch_size=8, crop="24x24", crop_scale=1.5)),
    ],
    ids=["moved", "banked", "scaled"],
)
def test_frames_of_16_bit_are_only_looked_at_and_copied_as_such(
    terrain: Dataset, config: Config
) -> None:
    """torch 2.8 on a GPU says: "index_cuda" not implemented for 'UInt16'."""
    batches = batches_of(config, wide(terrain))
    next(batches.epoch(0))
    with WithoutUnsigned():
        expected = next(batches.epoch(1))
    assert expected[0].dtype == torch.float32
    found, theirs = (
        list(batches_of(config.model_copy(update={"augment": STILL}), wide(terrain), on).epoch(1))
        for on in ("device", "host")
    )
    assert (
        max(
            float((one - other).abs().max())
            for (one, _), (other, _) in zip(found, theirs, strict=True)
        )
        <= 1.0
    )


def test_held_frames_are_the_data(ragged: Dataset) -> None:
    train = ragged.parts["train"]
    held = HeldFrames.of(ragged, train, CPU)
    for place, frame in enumerate(train):
        start = int(held.starts_N[place])
        pixels = held.pixels_PC[start : start + ragged.masks[frame].size].numpy()
        np.testing.assert_array_equal(
            pixels.reshape(ragged.images[frame].shape), ragged.images[frame]
        )
