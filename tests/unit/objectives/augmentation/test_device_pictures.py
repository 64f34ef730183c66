"""Pictures of both ways of augmenting, given equal numbers; and of each way alone, in distribution."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from objectives.augmentation.on_device.augmenter import DeviceAugmenter
from objectives.augmentation.on_device.light import Light
from objectives.augmentation.transforms import Augmenter
from objectives.config import Augment
from objectives.data.spec import FrameSpec
from tests.support.recorded_augmentation import Record, draws_of, recorded

CPU = torch.device("cpu")
HEIGHT, WIDTH = 24, 40
PHOTOMETRIC = ("brightness", "contrast", "gamma", "noise", "blur")
GEOMETRIC = ("rotation", "shift", "zoom", "shear")


def spec_of(channels: int, ignore_label: int | None, dtype: type) -> FrameSpec:
    return FrameSpec(
        height=HEIGHT,
        width=WIDTH,
        channels=channels,
        max_value=255 if dtype == np.uint8 else 65535,
        mean=tuple(0.2 + 0.02 * channel for channel in range(channels)),
        std=(0.2,) * channels,
        ranges=tuple((0.05 + 0.01 * channel, 0.8) for channel in range(channels)),
        class_names=("void", "soil", "rock", "sand"),
        colours=((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)),
        ignore_label=ignore_label,
        scored=(1, 2, 3),
    )


def frames_of(
    count: int, channels: int, dtype: type, *, smooth: bool = False
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Noise, the hardest that there is to move: neighbours have nothing in common; or soft slopes."""
    rng = np.random.default_rng(1)
    highest = 255 if dtype == np.uint8 else 65535
    frames = []
    for _ in range(count):
        image_HWC = rng.random((HEIGHT, WIDTH, channels))
        if smooth:
            slope = rng.uniform(0.1, 0.9) * np.linspace(0, 1, WIDTH)[:, None]
            image_HWC = np.broadcast_to(slope, image_HWC.shape)
        mask_HW = rng.integers(0, 4, (HEIGHT, WIDTH)).astype(np.uint8)
        frames.append(((image_HWC * highest).astype(dtype), mask_HW))
    return frames


def only(*names: str) -> Augment:
    """One kind of change alone, strong."""
    switches = dict.fromkeys((*PHOTOMETRIC, *GEOMETRIC, "flip", "vertical_flip"), False)
    return Augment(intensity=0.9, **switches | dict.fromkeys(names, True))


def both_ways(
    monkeypatch: pytest.MonkeyPatch,
    augment: Augment,
    spec: FrameSpec,
    frames: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, list[Record]]:
    """How far the pictures of both ways lie apart, in steps of 8 bits, whether each label differs, and the
    numbers of albumentations that both went by.
    """
    dtype = frames[0][0].dtype
    pairs, records = recorded(Augmenter(augment, spec), frames, list(range(len(frames))))
    if dtype == np.uint8:
        for record in records:
            record.brightness /= 255
            record.noise /= 255
    noise_bCHW = [record.normal_HWC.transpose(2, 0, 1) for record in records if record.noise]
    monkeypatch.setattr(Light, "normal", lambda *_: torch.from_numpy(np.stack(noise_bCHW)).float())
    device = DeviceAugmenter(augment, spec, CPU)
    drawn = device.given(
        np.zeros(len(frames), np.uint32), draws_of(records), (spec.height, spec.width)
    )
    images, masks = (np.stack(each) for each in zip(*frames, strict=True))
    found_BCHW, labels_BHW = device(
        torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks), drawn
    )
    expected, labels = (np.stack(each) for each in zip(*pairs, strict=True))
    assert found_BCHW.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    assert labels_BHW.dtype == torch.uint8
    apart = found_BCHW.permute(0, 2, 3, 1).numpy().astype(float) - expected
    return np.abs(apart) / spec.max_value * 255, labels_BHW.numpy() != labels, records


@pytest.mark.parametrize(
    ("channels", "dtype", "ignore_label"),
    list(product([1, 3, 4, 6], [np.uint8, np.uint16, np.float32], [0, None])),
)
@pytest.mark.parametrize(
    "names",
    [
        ("flip", "vertical_flip", *GEOMETRIC),
        ("brightness",),
        ("contrast",),
        ("gamma",),
        ("noise",),
        ("blur",),
    ],
)
def test_equal_numbers_give_equal_pictures(
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    channels: int,
    dtype: type,
    ignore_label: int | None,
) -> None:
    spec = spec_of(channels, ignore_label, dtype)
    apart, other, records = both_ways(
        monkeypatch, only(*names), spec, frames_of(40, channels, dtype)
    )
    assert apart.max() <= 1.0
    assert (apart > 0.02).mean() < 5e-4
    assert other.mean() < 5e-4
    assert any(record != Record() for record in records), "nothing was changed"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("ignore_label", [0, 3, None])
def test_equal_numbers_give_equal_pictures_by_all_transforms_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, dtype: type, ignore_label: int | None
) -> None:
    """A gamma makes two steps of one among dark pixels of 8 bits."""
    spec = spec_of(3, ignore_label, dtype)
    everything = Augment(intensity=0.9, vertical_flip=True)
    apart, other, _ = both_ways(monkeypatch, everything, spec, frames_of(80, 3, dtype))
    assert apart.max() <= 2.0
    assert (apart > 0.02).mean() < 5e-4
    assert other.mean() < 5e-4


def test_frames_of_two_channels_are_moved_as_exactly_as_opencv_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It rounds places to 1/32 pixel there."""
    spec = spec_of(2, None, np.uint16)
    frames = frames_of(40, 2, np.uint16, smooth=True)
    apart, other, _ = both_ways(monkeypatch, only("flip", *GEOMETRIC), spec, frames)
    step = 0.9 * 255 / (WIDTH - 1)
    assert 0.0 < apart.max() < 2 * step / 32
    assert other.mean() < 5e-4


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3)])
@pytest.mark.parametrize("ignore_label", [0, None])
def test_the_smallest_frames(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], ignore_label: int | None
) -> None:
    spec = spec_of(1, ignore_label, np.uint8)
    spec = spec.model_copy(update={"height": size[0], "width": size[1]})
    frames = [
        (image[: size[0], : size[1]].copy(), mask[: size[0], : size[1]].copy())
        for image, mask in frames_of(40, 1, np.uint8)
    ]
    apart, other, _ = both_ways(monkeypatch, Augment(intensity=0.9), spec, frames)
    assert apart.max() <= 2.0
    assert other.mean() < 0.01


def augmented(augment: Augment, spec: FrameSpec, frames: list[np.ndarray]) -> np.ndarray:
    """Frames (N, H, W, C) as the device augments them."""
    device = DeviceAugmenter(augment, spec, CPU)
    count = len(frames)
    drawn = device.drawn(np.arange(count, dtype=np.uint32), (HEIGHT, WIDTH), np.ones(count, bool))
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    found, _ = device(images, torch.zeros(count, HEIGHT, WIDTH, dtype=torch.uint8), drawn)
    return found.permute(0, 2, 3, 1).numpy()


def measures(frames: np.ndarray) -> dict[str, np.ndarray]:
    """One number a frame: its level, its spread, and how rough it is."""
    frames = frames.astype(float)
    return {
        "mean": frames.mean(axis=(1, 2, 3)),
        "deviation": frames.std(axis=(1, 2, 3)),
        "roughness": np.abs(np.diff(frames, axis=2)).mean(axis=(1, 2, 3)),
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "names", [*((name,) for name in PHOTOMETRIC), PHOTOMETRIC, ("flip", *GEOMETRIC)]
)
def test_pictures_of_both_ways_are_distributed_alike(names: tuple[str, ...], dtype: type) -> None:
    spec = spec_of(1, 0, dtype)
    count = 1_500
    rng = np.random.default_rng(5)
    highest = 255 if dtype == np.uint8 else 65535
    slope_HW1 = np.linspace(0.2, 0.7, WIDTH)[None, :, None] + 0.1 * rng.random((HEIGHT, WIDTH, 1))
    image = (slope_HW1 * highest).astype(dtype)
    augmenter = Augmenter(only(*names), spec)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    there = measures(np.stack([augmenter(image, mask, seed)[0] for seed in range(count)]))
    here = measures(augmented(only(*names), spec, [image] * count))
    for name, values in here.items():
        assert ks_2samp(values, there[name]).pvalue > 0.001, name


def test_noise_is_a_function_of_a_frames_seed_alone() -> None:
    spec = spec_of(1, 0, np.uint8)
    frames = [image for image, _ in frames_of(1, 1, np.uint8)] * 40
    device = DeviceAugmenter(only("noise"), spec, CPU)
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    masks = torch.zeros(40, HEIGHT, WIDTH, dtype=torch.uint8)
    drawn = device.drawn(np.arange(40, dtype=np.uint32), (HEIGHT, WIDTH), np.ones(40, bool))
    whole, _ = device(images, masks, drawn)
    alone = [device(images[i : i + 1], masks[i : i + 1], drawn[i : i + 1])[0] for i in range(40)]
    assert torch.equal(whole, torch.cat(alone))
    noisy = [frame.numpy().tobytes() for frame in whole if not torch.equal(frame, images[0])]
    assert len(set(noisy)) == len(noisy) > 3


def test_frames_that_are_not_to_be_changed_stay_as_they_are() -> None:
    for dtype in (np.uint8, np.uint16, np.float32):
        spec = spec_of(3, 0, dtype)
        images, masks = (np.stack(each) for each in zip(*frames_of(30, 3, dtype), strict=True))
        device = DeviceAugmenter(Augment(intensity=1.0, vertical_flip=True), spec, CPU)
        changed = np.arange(30) % 2 == 0
        drawn = device.drawn(np.arange(30, dtype=np.uint32), (HEIGHT, WIDTH), changed)
        found, labels = device(
            torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks), drawn
        )
        found = found.permute(0, 2, 3, 1).numpy()
        assert (found[~changed] == images[~changed]).all()
        assert (labels.numpy()[~changed] == masks[~changed]).all()
        assert (found[changed] != images[changed]).any(axis=(1, 2, 3)).mean() > 0.8
