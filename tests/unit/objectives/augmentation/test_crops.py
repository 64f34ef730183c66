"""Crops of frames of any sizes: of one size, where they are asked for, and the same whenever they are drawn."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from objectives.augmentation.crops import Cropper, crop_size, crops_in, trained_spec
from objectives.config import Augment, Config, Train, UNet
from objectives.data.dataset import Dataset, open_dataset
from objectives.data.options import DataOptions
from objectives.training.batches import TrainingBatches
from objectives.training.fit import fit, prepare
from objectives.training.loader import AugmentedFrames
from objectives.training.order import EpochOrder, Key
from objectives.training.resources import estimate

SIZES = ((64, 96), (100, 50), (20, 30), (40, 48))
WINDOW = (40, 48)


def made(root: Path, ignore: str) -> Path:
    """Frames of several sizes whose pixels say where they lie; class 2 is a dot in the first corner."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(24):
        height, width = SIZES[number % 4]
        rows, columns = np.mgrid[:height, :width]
        image = np.stack([rows, columns, np.full_like(rows, number)], axis=2).astype(np.uint8)
        mask = ((rows // 8 + columns // 8) % 2).astype(np.uint8)
        mask[:2, :2] = 2
        cv2.imwrite(str(root / "images" / f"{number:02}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "masks" / f"{number:02}.png"), mask)
    names = "classes: {0: a, 1: b, 2: dot, 3: void}\n"
    (root / "classes.yaml").write_text(names + ignore)
    (root / "groups.csv").write_text(
        "file,group\n" + "".join(f"{number:02}.png,{number}\n" for number in range(24))
    )
    return root


@pytest.fixture(scope="module", params=["ignore: 3\n", "ignore: null\n"], ids=["ignored", "none"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = made(tmp_path_factory.mktemp("crops") / "frames", request.param)
    options = DataOptions(window=WINDOW, scored=(0, 1, 2))
    return open_dataset(str(root), options, root / "cache")


def frame_of(data: Dataset, size: tuple[int, int]) -> int:
    return next(index for index in range(len(data.images)) if data.images.size(index) == size)


def crops_of(
    data: Dataset, train: Train, size: tuple[int, int], count: int = 200
) -> list[tuple[np.ndarray, np.ndarray]]:
    frame = frame_of(data, size)
    crop = Cropper(train, data)
    return [crop(data.images[frame], data.masks[frame], frame, seed) for seed in range(count)]


def test_crops_are_cut_from_anywhere_and_are_what_lies_there(data: Dataset) -> None:
    corners = set()
    for image, mask in crops_of(data, Train(crop="16x24", crop_balance=0.0), (64, 96)):
        assert (image.shape, mask.shape) == ((16, 24, 3), (16, 24))
        row, column = image[0, 0, :2].tolist()
        frame = frame_of(data, (64, 96))
        np.testing.assert_array_equal(
            image, data.images[frame][row : row + 16, column : column + 24]
        )
        np.testing.assert_array_equal(mask, data.masks[frame][row : row + 16, column : column + 24])
        corners.add((row, column))
    rows, columns = np.array(sorted(corners)).T
    assert (rows.min(), rows.max()) == (0, 48)
    assert columns.min() <= 2
    assert columns.max() >= 70
    assert len(corners) > 150


def test_without_a_crop_of_its_own_a_network_is_trained_on_what_it_sees_at_once(
    data: Dataset,
) -> None:
    assert crop_size(Train(), data.spec) == WINDOW
    assert trained_spec(Train(crop="16x24"), data.spec).width == 24
    frame = frame_of(data, WINDOW)
    image, mask = Cropper(Train(), data)(data.images[frame], data.masks[frame], frame, 3)
    assert np.shares_memory(image, data.images.values)
    assert mask.shape == WINDOW


def test_what_lies_beyond_a_small_frame_is_ignored_or_mirrored(data: Dataset) -> None:
    frame = frame_of(data, (20, 30))
    for image, mask in crops_of(data, Train(), (20, 30), 5):
        assert (image.shape, mask.shape) == ((*WINDOW, 3), WINDOW)
        np.testing.assert_array_equal(image[:20, :30], data.images[frame])
        np.testing.assert_array_equal(image[20:, :30], data.images[frame][::-1])
        if data.spec.ignore_label is None:
            np.testing.assert_array_equal(mask[20:, :30], data.masks[frame][::-1])
        else:
            assert (mask[20:] == data.spec.ignore_label).all()
            assert (mask[:, 30:] == data.spec.ignore_label).all()


@pytest.mark.parametrize(
    ("balance", "low", "high"), [(0.0, 0.0, 0.02), (0.33, 0.07, 0.2), (1.0, 0.25, 0.45)]
)
def test_a_share_of_the_crops_holds_a_class_drawn_evenly(
    data: Dataset, balance: float, low: float, high: float
) -> None:
    """Of three classes the dot is one; by chance a crop of 12 x 12 holds it in one of several thousand."""
    crops = crops_of(data, Train(crop="12x12", crop_balance=balance), (64, 96), 400)
    share = np.mean([bool((mask == 2).any()) for _, mask in crops])
    assert low <= share <= high


def test_regions_of_several_sizes_become_a_crop(data: Dataset) -> None:
    spans = []
    for image, mask in crops_of(data, Train(crop="16x16", crop_scale=2.0), (64, 96)):
        assert (image.shape, mask.shape) == ((16, 16, 3), (16, 16))
        assert set(np.unique(mask)) <= {0, 1, 2}
        spans.append(int(image[-1, 0, 0]) - int(image[0, 0, 0]))
    assert min(spans) in range(6, 9)
    assert max(spans) in range(26, 33)
    assert np.median(spans) == pytest.approx(15, abs=3)


def test_no_class_covers_too_much_of_a_crop(data: Dataset) -> None:
    train = Train(crop="8x8", crop_balance=0.0)
    for most, allowed in ((1.0, 1.0), (0.6, 0.6)):
        crops = crops_of(data, train.model_copy(update={"crop_most": most}), (64, 96), 100)
        largest = [np.bincount(mask.ravel()).max() / mask.size for _, mask in crops]
        assert sum(share > allowed for share in largest) <= 3  # after ten draws the last one counts
    assert max(largest) > 0.5


def test_crops_are_a_function_of_the_seed_alone(data: Dataset) -> None:
    config = Config(train=Train(crop="16x24", crop_scale=1.5, crop_most=0.8, batch_size=4))
    batches = [
        list(
            TrainingBatches(config, data, 7, device=torch.device("cpu"), prefetchers=each).epoch(2)
        )
        for each in (0, 2)
    ]
    for (images, masks), (others, their_masks) in zip(*batches, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(masks, their_masks)


def test_an_epoch_has_as_many_crops_as_fit_into_its_frames(data: Dataset) -> None:
    train = Train(crop="20x24", repeat=2, batch_size=4)
    order = EpochOrder(Config(train=train), data, 0)
    order.epoch = 0
    keys = [key for batch in order for key in batch]
    lacking = order.batches * order.size - len(order.frames)
    counts = Counter(key.frame for key in keys[: len(keys) - lacking])
    for frame in data.parts["train"].tolist():
        assert counts[frame] == 2 * crops_in(data.images.size(frame), (20, 24))
    assert crops_in((64, 96), (20, 24)) == 13
    assert crops_in((20, 30), (64, 96)) == 1
    first = Key(keys[0].frame, 5)
    originals = AugmentedFrames(Config(augment=Augment(keep_originals=True), train=train), data)
    frame = data.images[first.frame]
    image, _ = originals[first]
    row, column = image[0, 0, :2].tolist()
    np.testing.assert_array_equal(image, frame[row : row + 20, column : column + 24])


def test_large_masks_give_pixels_of_every_class(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from objectives.augmentation import crops

    monkeypatch.setattr(crops, "_ROWS_AT_ONCE", 200)
    monkeypatch.setattr(crops, "PLACES", 3)
    frame = frame_of(data, (64, 96))
    places = crops.ClassPlaces(data)
    generator = np.random.default_rng(0)
    found = [places.drawn(frame, generator) for _ in range(60)]
    labels = Counter(int(data.masks[frame][place]) for place in found if place)
    assert labels.keys() == {0, 1, 2}
    empty = replace(data, class_pixels=np.zeros_like(data.class_pixels))
    assert crops.ClassPlaces(empty).drawn(frame, generator) is None


def test_a_network_is_trained_on_crops_and_scored_in_windows(data: Dataset) -> None:
    train = Train(crop="16x24", scale=0.5, epochs=2, batch_size=16, ema=0.0)
    config = Config(model=UNet(depth=2, base_filters=4), train=train)
    training = prepare(config, data, seed=0, device=torch.device("cpu"))
    results = list(fit(training))
    assert len(results) == 2
    pixels = sum(mask.size for mask in data.masks[data.parts["validation"]])
    assert int(training.state.confusions_GKK.sum()) == pixels
    small, large = (
        estimate(config.model_copy(update={"train": each}), data.spec)
        for each in (train, train.model_copy(update={"crop": "none"}))
    )
    assert small.multiply_adds == large.multiply_adds  # of what is seen at once when it is scored
    assert small.frame_bytes < 0.4 * large.frame_bytes


def test_a_run_that_goes_on_elsewhere_sees_the_same_crops(data: Dataset) -> None:
    train = Train(crop="16x24", crop_scale=1.5, epochs=3, batch_size=16)
    config = Config(model=UNet(depth=2, base_filters=4), train=train)
    device = torch.device("cpu")
    whole = prepare(config, data, seed=0, device=device)
    expected = [result.loss for result in fit(whole)]
    first = prepare(config, data, seed=0, device=device)
    runs = fit(first)
    losses = [next(runs).loss]
    again = prepare(config, data, seed=0, device=device)
    again.state.load_bytes(first.state.to_bytes())
    assert losses + [result.loss for result in fit(again)] == expected
