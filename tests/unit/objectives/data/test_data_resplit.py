"""Training and validation dealt anew: by whole groups, the sealed test untouched, statistics from
the new training part.
"""

import numpy as np
import pytest

from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.data.resplit import dealt_parts, resplit, trained_on_everything, with_training_part


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset("synthetic:120", DataOptions(), tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="module")
def anew(frames: Dataset) -> Dataset:
    return resplit(frames, 1)


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
    assert np.array_equal(resplit(frames, 1).parts["validation"], anew.parts["validation"])
    dealt = {dealt_parts(frames, seed)["validation"].tobytes() for seed in range(12)}
    assert len(dealt) == 12


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
