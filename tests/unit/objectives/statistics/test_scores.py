"""Precision, recall, Dice and support by hand and against torchmetrics; the score of a single
frame.
"""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchmetrics.classification import (
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
)

from objectives.scoring.metrics import confusion_KK
from objectives.statistics.scores import (
    Measure,
    Scoring,
    class_scores,
    dice,
    iou,
    mean_over,
    precision,
    recall,
)

HAND = np.array([[0, 0, 0, 0], [0, 6, 2, 0], [0, 1, 3, 0], [0, 0, 0, 0]])  # rows are true


def test_all_scores_by_hand() -> None:
    scores = class_scores(HAND)
    assert scores.support.tolist() == [0, 8, 4, 0]
    for found, expected in (
        (scores.iou, [6 / 9, 3 / 6]),
        (scores.precision, [6 / 7, 3 / 5]),
        (scores.recall, [6 / 8, 3 / 4]),
        (scores.dice, [12 / 15, 6 / 9]),
    ):
        assert found[1:3].tolist() == pytest.approx(expected)
        assert np.isnan(found[[0, 3]]).all()  # never there


def test_a_class_never_predicted_is_zero_and_one_never_there_is_left_out() -> None:
    scores = class_scores(np.array([[5, 0, 0], [4, 0, 0], [0, 0, 0]]))
    assert (scores.precision[1], scores.recall[1], scores.iou[1], scores.dice[1]) == (0, 0, 0, 0)
    scores = class_scores(np.array([[5, 3], [0, 0]]))
    assert np.isnan([scores.precision[1], scores.recall[1], scores.iou[1], scores.dice[1]]).all()
    # what is said of it costs the class that is there
    assert mean_over(scores.recall, (0, 1)) == pytest.approx(5 / 8)


def test_one_pixel_of_an_absent_class_moves_the_score_by_a_pixel() -> None:
    confusion_KK = np.diag([300_000, 200_000, 400_000, 0])
    before = Scoring((0, 1, 2, 3)).of(confusion_KK)
    confusion_KK[1, 1] -= 1
    confusion_KK[1, 3] += 1
    assert 0 < before - Scoring((0, 1, 2, 3)).of(confusion_KK) == pytest.approx(1 / 200_000 / 3)


def test_an_empty_matrix_knows_nothing() -> None:
    scores = class_scores(np.zeros((3, 3), np.int64))
    for values in (scores.iou, scores.precision, scores.recall, scores.dice):
        assert np.isnan(values).all()
        assert math.isnan(mean_over(values, (0, 1, 2)))
    assert scores.support.tolist() == [0, 0, 0]


def test_means_are_over_the_scored_classes_alone() -> None:
    values = np.array([0.9, 0.2, 0.4, np.nan])
    assert mean_over(values, (1, 2, 3)) == pytest.approx(0.3)
    assert mean_over(values, [0]) == pytest.approx(0.9)
    assert math.isnan(mean_over(values, [3]))


def test_a_stack_of_matrices_gives_the_scores_of_each() -> None:
    stack = np.random.default_rng(0).integers(0, 4, (7, 3, 3))
    together = class_scores(stack)
    for place, confusion in enumerate(stack):
        alone = class_scores(confusion)
        for name in ("iou", "precision", "recall", "dice", "support"):
            np.testing.assert_array_equal(getattr(together, name)[place], getattr(alone, name))


def test_counts_of_large_parts_do_not_overflow() -> None:
    scores = class_scores(np.array([[2**30, 0], [2**30, 2**30]], dtype=np.int32))
    assert scores.support.tolist() == [2**30, 2**31]
    assert scores.dice.tolist() == pytest.approx([2 / 3, 2 / 3])


@pytest.mark.parametrize("average", ["none", "macro"])
@pytest.mark.parametrize("ignore_label", [None, 0, 2])
@pytest.mark.parametrize("num_classes", [2, 6])
def test_they_are_those_of_torchmetrics(
    average: str, ignore_label: int | None, num_classes: int
) -> None:
    """Of six classes 4 is never there, and predicted; 5 neither. Its macro mean counts the one that
    is predicted as 0.
    """
    scored = [label for label in range(num_classes) if label != ignore_label]
    rng = np.random.default_rng(num_classes)
    target = rng.integers(0, min(num_classes, 4), (3, 8, 9))
    predicted = rng.choice([label for label in scored if label != 5], (3, 8, 9))
    scores = class_scores(confusion_KK(predicted, target, num_classes, ignore_label))
    for kind, ours in (
        (MulticlassPrecision, scores.precision),
        (MulticlassRecall, scores.recall),
        (MulticlassF1Score, scores.dice),
    ):
        metric = kind(num_classes, average=average, ignore_index=ignore_label)
        theirs = metric(torch.from_numpy(predicted), torch.from_numpy(target)).numpy()
        if average == "macro":
            there = len(scored) - np.isnan(ours[scored]).sum()
            counted = there + (num_classes == 6)
            assert mean_over(ours, scored) * there / counted == pytest.approx(
                theirs.item(), rel=1e-5
            )
        else:
            np.testing.assert_allclose(np.nan_to_num(ours), theirs, rtol=1e-5)


def test_a_frame_is_scored_by_the_classes_that_it_holds() -> None:
    stray = np.array([[0, 0, 0], [0, 99, 1], [0, 0, 0]])  # one pixel of class 2, which is not there
    assert Scoring((1, 2)).of(stray) == pytest.approx(0.99)
    assert Scoring((1, 2)).of(HAND) == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert Scoring((2,)).of(HAND) == pytest.approx(3 / 6)
    assert math.isnan(Scoring((0, 3)).of(HAND))
    assert math.isnan(Scoring((0, 1, 2)).of(np.zeros((3, 3), np.int64)))


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (iou, [6 / 9, 3 / 6]),
        (dice, [12 / 15, 6 / 9]),
        (precision, [6 / 7, 3 / 5]),
        (recall, [6 / 8, 3 / 4]),
    ],
)
def test_a_score_is_the_mean_of_its_measure(measure: Measure, expected: list[float]) -> None:
    assert Scoring((1, 2), measure).of(HAND) == pytest.approx(sum(expected) / 2)
    assert Scoring((0, 2, 3), measure).of(HAND) == pytest.approx(expected[1])
    assert math.isnan(Scoring((0, 3), measure).of(HAND))


def test_weights_are_shared_out_anew_among_the_classes_that_occur() -> None:
    ious = {1: 6 / 9, 2: 3 / 6}
    weighted = Scoring((1, 2), weights=((1, 3.0), (2, 1.0)))
    assert weighted.of(HAND) == pytest.approx((3 * ious[1] + ious[2]) / 4)
    absent = Scoring((1, 2, 3), weights=((1, 3.0), (3, 10.0)))
    assert absent.of(HAND) == pytest.approx(ious[1])
    assert math.isnan(Scoring((1, 2, 3), weights=((3, 1.0),)).of(HAND))
    alone = Scoring((1, 2), weights=((2, 1.0),))  # what is taken for the other counts against it
    assert alone.of(HAND) == pytest.approx(ious[2])


def test_the_least_is_of_the_classes_that_count_and_occur() -> None:
    assert Scoring((0, 1, 2), recall, together="least").of(HAND) == pytest.approx(6 / 8)
    never = np.array([[5, 0, 0], [4, 0, 0], [0, 0, 0]])
    assert Scoring((0, 1, 2), recall, together="least").of(never) == 0
    chosen = Scoring((0, 1, 2), recall, weights=((0, 1.0), (2, 1.0)), together="least")
    assert chosen.of(never) == 1
    assert math.isnan(Scoring((2,), recall, together="least").of(never))


@pytest.mark.parametrize("seed", range(3))
def test_they_are_made_of_the_measures_of_torchmetrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, predicted = rng.integers(0, 5, (2, 3, 8, 9))
    masks = torch.from_numpy(predicted), torch.from_numpy(target)
    found_KK = confusion_KK(predicted, target, 5, 0)
    recalls, ious = (
        kind(5, average="none", ignore_index=0)(*masks).numpy()
        for kind in (MulticlassRecall, MulticlassJaccardIndex)
    )
    scored = (1, 2, 3, 4)
    assert Scoring(scored, recall, together="least").of(found_KK) == pytest.approx(min(recalls[1:]))
    weighted = Scoring(scored, weights=((2, 3.0), (4, 1.0)))
    assert weighted.of(found_KK) == pytest.approx((3 * ious[2] + ious[4]) / 4)


def test_formulas_need_no_torch() -> None:
    modules = (
        "objectives.statistics.scores, objectives.scoring.calibration, objectives.bundle.provenance"
    )
    subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; assert 'torch' not in sys.modules"],
        check=True,
    )
