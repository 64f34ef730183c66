"""Training and validation dealt anew: by whole groups, the sealed test untouched, statistics from
the new training part.
"""

from dataclasses import replace

import numpy as np
import pytest

from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.data.options import Dealing
from objectives.data.resplit import (
    dealt,
    dealt_parts,
    fold_problems,
    trained_on_everything,
    with_training_part,
)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset("synthetic:120", DataOptions(), tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="module")
def anew(frames: Dataset) -> Dataset:
    return dealt(frames, Dealing(1))


def test_the_sealed_test_stays_and_the_rest_is_dealt_by_whole_groups(
    frames: Dataset, anew: Dataset
) -> None:
    assert np.array_equal(anew.parts["test"], frames.parts["test"])
    train, validation = set(anew.parts["train"].tolist()), set(anew.parts["validation"].tolist())
    assert not train & validation
    assert train | validation == {
        *frames.parts["train"].tolist(),
        *frames.parts["validation"].tolist(),
    }
    assert not set(anew.groups[anew.parts["train"]]) & set(anew.groups[anew.parts["validation"]])
    assert validation != set(frames.parts["validation"].tolist())
    assert len(validation) == pytest.approx(len(frames.parts["validation"]), abs=3)


def test_the_seed_decides(frames: Dataset, anew: Dataset) -> None:
    assert np.array_equal(dealt(frames, Dealing(1)).parts["validation"], anew.parts["validation"])
    parts = {dealt_parts(frames, Dealing(seed))["validation"].tobytes() for seed in range(12)}
    assert len(parts) == 12


def test_statistics_are_those_of_the_new_training_part(anew: Dataset) -> None:
    pixels = np.asarray(anew.images[anew.parts["train"]]) / anew.spec.max_value
    assert anew.spec.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)))
    assert anew.spec.std == pytest.approx(pixels.std(axis=(0, 1, 2)))
    labels, counts = np.unique(anew.masks[anew.parts["train"]], return_counts=True)
    assert anew.pixel_counts[labels].tolist() == counts.tolist()
    assert anew.pixel_counts.sum() == counts.sum()


def test_measured_on_the_first_parts_they_are_what_was_prepared(frames: Dataset) -> None:
    assert with_training_part(frames).spec == frames.spec


def test_everything_is_trained_on_once(frames: Dataset) -> None:
    all_of_it = trained_on_everything(frames)
    assert all_of_it.parts["train"].tolist() == list(range(len(frames.images)))
    assert all_of_it.pixel_counts.sum() == sum(mask_HW.size for mask_HW in frames.masks)
    assert np.array_equal(all_of_it.parts["validation"], frames.parts["validation"])


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_open_frame_validates_in_one_fold_and_places_stay_whole(
    frames: Dataset, folds: int
) -> None:
    dealt = [dealt_parts(frames, Dealing(7, folds, fold + 1)) for fold in range(folds)]
    open_frames = {*frames.parts["train"].tolist(), *frames.parts["validation"].tolist()}
    validated = np.concatenate([parts["validation"] for parts in dealt]).tolist()
    assert sorted(validated) == sorted(open_frames)
    for parts in dealt:
        train, validation = parts["train"].tolist(), parts["validation"].tolist()
        assert {*train, *validation} == open_frames
        assert not {*frames.groups[train].tolist()} & {*frames.groups[validation].tolist()}
        assert np.array_equal(parts["test"], frames.parts["test"])
        assert len(validation) == pytest.approx(len(open_frames) / folds, rel=0.5)
    assert not list(fold_problems(frames, folds, 7))


def test_folds_are_those_of_a_study_on_folds(
    frames: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.mktemp("folds")
    first = open_dataset("synthetic:120", DataOptions(seed=3, folds=4, fold=1), cache)
    for fold in range(1, 5):
        options = DataOptions(seed=3, folds=4, fold=fold)
        study = open_dataset("synthetic:120", options, cache)
        here = dealt(first, Dealing(3, 4, fold))
        for part, indices in study.parts.items():
            assert np.array_equal(here.parts[part], indices)
        assert here.spec == study.spec


def test_more_folds_than_places_and_folds_without_labels_are_problems(frames: Dataset) -> None:
    open_groups = {
        *frames.groups[frames.parts["train"]],
        *frames.groups[frames.parts["validation"]],
    }
    (problem,) = fold_problems(frames, len(open_groups) + 1, 0)
    rule = f"must be at most the {len(open_groups)} groups outside the test part"
    assert str(problem).startswith(f"--folds: {rule}")
    pixels = np.zeros_like(frames.class_pixels)
    pixels[frames.parts["train"][0]] = 1  # one frame is labelled: its fold leaves training without
    told = "\n".join(map(str, fold_problems(replace(frames, class_pixels=pixels), 3, 0)))
    assert told.count("every fold must have labelled pixels of a scored class") == 2
    assert told.count("every scored class must be in the training part of each fold") == 1
