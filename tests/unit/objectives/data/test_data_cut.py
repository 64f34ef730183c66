"""Parts of frames without known places, what warns of scores too high, and which label is
ignored.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.data.predicting import read_labelled
from objectives.data.preparing.check import check
from objectives.errors import ProblemsError

OPTIONS = DataOptions()
RNG = np.random.default_rng(0)


def scenes(*lengths: int) -> tuple[np.ndarray, np.ndarray]:
    """Bursts of noisy frames (N, 32, 64), each of a scene of its own, and the scene of
    each frame.
    """
    looks = [cv2.resize(RNG.random((4, 8)).astype(np.float32), (64, 32)) * 200 for _ in lengths]
    of_frame = np.repeat(np.arange(len(lengths)), lengths)
    noisy = np.stack([looks[scene] for scene in of_frame]) + RNG.normal(
        0, 4, (len(of_frame), 32, 64)
    )
    return noisy.clip(0, 255).astype(np.uint8), of_frame


def npz(path: Path, images: np.ndarray, masks: np.ndarray, **more: np.ndarray) -> str:
    np.savez(path, training_set=np.stack([images, masks], axis=1).astype(np.uint8), **more)
    return str(path)


def masks_of(images: np.ndarray, labels: int = 3) -> np.ndarray:
    return RNG.integers(0, labels, images.shape).astype(np.uint8)


def prepared(
    folder: Path, images: np.ndarray, masks: np.ndarray, options: DataOptions = OPTIONS
) -> Dataset:
    return open_dataset(npz(folder / "frames.npz", images, masks), options, folder / "cache")


@pytest.mark.parametrize(
    "lengths",
    [(25,) * 12, (3,) * 100 + (40,), (4,) * 10, (3,) * 10, (20,) * 5],
    ids=["12x25", "100x3+40", "10x4", "10x3", "5x20"],
)
def test_frames_of_one_burst_never_part(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    images, of_frame = scenes(*lengths)
    data = prepared(tmp_path, images, masks_of(images))
    found = {name: set(of_frame[indices].tolist()) for name, indices in data.parts.items()}
    assert all(found.values())
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]


def test_that_places_are_not_known_is_told(tmp_path: Path) -> None:
    images, of_frame = scenes(*(5,) * 20)
    masks = masks_of(images)
    (warning,) = check(npz(tmp_path / "a.npz", images, masks), OPTIONS).warnings
    assert warning.startswith(
        "no groups are known: the 100 frames form 20 by their looks, of 5 at most"
    )
    assert (
        check(npz(tmp_path / "b.npz", images, masks, training_groups=of_frame), OPTIONS).warnings
        == ()
    )


def test_frames_that_are_in_several_parts_are_told(tmp_path: Path) -> None:
    images, _ = scenes(*(1,) * 40)
    images = np.concatenate([images, images])
    found = check(
        npz(tmp_path / "a.npz", images, masks_of(images), training_groups=np.arange(80)), OPTIONS
    )
    parts = open_dataset(str(tmp_path / "a.npz"), OPTIONS, tmp_path / "cache").parts
    again = [
        index
        for name in ("validation", "test")
        for index in parts[name]
        if (index + 40) % 80 in parts["train"]
    ]
    assert again
    assert found.warnings == (
        f"{len(again)} frames of validation and test are also in training, under other groups: "
        f"scores are too high",
    )


def test_one_scored_class_is_told_and_can_be_mended(tmp_path: Path) -> None:
    images, of_frame = scenes(*(2,) * 20)
    source = npz(tmp_path / "a.npz", images, masks_of(images, 2), training_groups=of_frame)
    (warning,) = check(source, OPTIONS).warnings
    assert warning.startswith("class_1 alone is scored, so a model that says nothing else scores 1")
    data = open_dataset(source, replace(OPTIONS, ignore="none"), tmp_path / "cache")
    assert data.warnings == ()
    assert (data.spec.ignore_label, data.spec.scored) == (None, (0, 1))
    assert read_labelled(source, data.spec, ignore="none").masks[0].max() == 1


def test_any_label_can_be_the_ignored_one(tmp_path: Path) -> None:
    images, of_frame = scenes(*(2,) * 20)
    masks = masks_of(images)
    names = np.array(["void", "soil", "rock"])
    inside = npz(tmp_path / "a.npz", images, masks, training_groups=of_frame, class_names=names)
    spec = open_dataset(inside, replace(OPTIONS, ignore="1"), tmp_path / "cache").spec
    assert (spec.class_names, spec.ignore_label, spec.scored) == (
        ("void", "soil", "rock"),
        1,
        (0, 2),
    )
    assert read_labelled(inside, spec, ignore="1").names
    with pytest.raises(ProblemsError, match="must have the model's 3 classes"):
        read_labelled(inside, spec)
    beyond = npz(
        tmp_path / "b.npz", images, np.where(masks == 2, 200, masks), training_groups=of_frame
    )
    data = open_dataset(beyond, replace(OPTIONS, ignore="200"), tmp_path / "cache")
    assert (data.spec.class_names, data.spec.ignore_label) == (("class_0", "class_1", "ignored"), 2)
    assert np.array_equal(np.stack(read_labelled(beyond, data.spec, ignore="200").masks), masks)
    assert np.array_equal(data.masks, masks)
    assert "labels" in str(check(beyond, replace(OPTIONS, ignore="none")).problems[0])


@pytest.mark.parametrize("ignore", ["65536", "-1", "all", "\N{SUPERSCRIPT TWO}", "1,2"])
def test_what_is_no_label_is_named(ignore: str) -> None:
    (problem,) = check("synthetic:24", replace(OPTIONS, ignore=ignore)).problems
    assert str(problem) == f"ignore: must be a label 0..65535 or none, got {ignore}"
