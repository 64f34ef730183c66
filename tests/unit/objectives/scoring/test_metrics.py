"""The confusion matrix and mean IoU by hand, and against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from objectives.scoring.metrics import confusion_KK, confusions_GKK, iou_K
from objectives.statistics.scores import Scoring

TARGET = np.array([[0, 0, 1], [1, 1, 2]], dtype=np.uint8)
PREDICTED = np.array([[1, 0, 1], [2, 1, 2]], dtype=np.uint8)


def test_rows_are_true_and_columns_predicted() -> None:
    assert confusion_KK(PREDICTED, TARGET, 3, None).tolist() == [[1, 1, 0], [0, 2, 1], [0, 0, 1]]
    assert confusion_KK(PREDICTED, TARGET, 3, 0).tolist() == [[0, 0, 0], [0, 2, 1], [0, 0, 1]]


def test_the_ignored_label_may_lie_outside_the_classes() -> None:
    target = np.where(TARGET == 0, 255, TARGET)
    assert confusion_KK(PREDICTED, target, 3, 255).tolist() == [[0, 0, 0], [0, 2, 1], [0, 0, 1]]


def test_torch_and_numpy_agree_and_keep_their_kind() -> None:
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(0, 200, (2, 5, 6, 7), dtype=np.uint8)
    ours = confusion_KK(predicted, target, 200, 3)
    theirs = confusion_KK(torch.from_numpy(predicted), torch.from_numpy(target), 200, 3)
    assert ours.dtype == np.int64
    assert theirs.dtype == torch.int64
    np.testing.assert_array_equal(ours, theirs.numpy())
    np.testing.assert_array_equal(iou_K(ours), iou_K(theirs))


def test_it_reads_views_and_read_only_arrays() -> None:
    target = TARGET[:, ::-1]
    target.flags.writeable = False
    np.testing.assert_array_equal(
        confusion_KK(PREDICTED[:, ::-1], target, 3, 0), confusion_KK(PREDICTED, TARGET, 3, 0)
    )


def test_a_target_outside_the_classes_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match=r"outside 0\.\.2"):
        confusion_KK(PREDICTED, TARGET + np.uint8(9), 3, 0)


def test_iou_by_hand() -> None:
    confusion = np.array([[0, 0, 0, 0], [0, 2, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    assert iou_K(confusion).tolist()[1:3] == [2 / 3, 1 / 3]
    # no pixel is of them, though one was taken for 0
    assert np.isnan(iou_K(confusion)[[0, 3]]).all()


def test_the_mean_leaves_out_classes_that_do_not_occur_and_classes_that_are_not_scored() -> None:
    confusion = np.array([[9, 0, 0, 0], [0, 2, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    assert Scoring((1, 2, 3)).of(confusion) == pytest.approx(0.5)
    assert Scoring((1,)).of(confusion) == pytest.approx(2 / 3)
    assert math.isnan(Scoring((3,)).of(confusion))


def test_a_class_that_is_there_and_never_found_counts_as_zero() -> None:
    assert Scoring((0, 1)).of(np.array([[0, 4], [0, 4]])) == pytest.approx(0.25)


@pytest.mark.parametrize("ignore_label", [None, 0, 2])
def test_it_is_torchmetrics_over_the_whole_split(ignore_label: int | None) -> None:
    """One matrix for all batches, as MulticlassJaccardIndex accumulates it; class 4
    occurs nowhere.
    """
    generator = torch.Generator().manual_seed(0)
    macro = MulticlassJaccardIndex(5, average="macro", ignore_index=ignore_label)
    matrix = MulticlassConfusionMatrix(5, ignore_index=ignore_label)
    total = torch.zeros(5, 5, dtype=torch.int64)
    for frames in (3, 1):
        predicted, target = torch.randint(0, 4, (2, frames, 8, 9), generator=generator)
        macro.update(predicted, target)
        matrix.update(predicted, target)
        total += confusion_KK(predicted, target, 5, ignore_label)
    assert torch.equal(total, matrix.compute())
    scored = [label for label in range(5) if label != ignore_label]
    assert Scoring(tuple(scored)).of(total.numpy()) == pytest.approx(
        macro.compute().item(), rel=1e-6
    )


def test_frames_are_counted_in_their_groups() -> None:
    random = np.random.default_rng(4)
    predicted, target = random.integers(0, 5, (2, 6, 40))
    group_of = np.array([1, 0, 3, 1, 1, 0])
    found = confusions_GKK(
        torch.from_numpy(predicted), torch.from_numpy(target), torch.from_numpy(group_of), 4, 5, 2
    )
    for group in range(4):
        mine = group_of == group
        expected = confusion_KK(predicted[mine], target[mine], 5, 2)
        np.testing.assert_array_equal(found[group].numpy(), expected)


@pytest.mark.parametrize("spoilt", ["predicted", "target"])
def test_a_label_outside_is_counted_in_no_other_group(spoilt: str) -> None:
    labels = {name: torch.zeros((2, 3), dtype=torch.uint8) for name in ("predicted", "target")}
    labels[spoilt][0, 0] = 7
    with pytest.raises(AssertionError, match=r"a label outside 0\.\.4"):
        confusions_GKK(labels["predicted"], labels["target"], torch.tensor([0, 1]), 2, 5, None)
