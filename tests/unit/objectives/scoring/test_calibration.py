"""The expected calibration error by hand, by a plain loop over pixels, and against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from objectives.scoring.calibration import BINS, Calibration


def plain_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Equation 3 of Guo et al., as it is written."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if inside.any():
            total += (
                inside.sum()
                / len(confidence)
                * abs(correct[inside].mean() - confidence[inside].mean())
            )
    return total


def test_by_hand_in_two_bins() -> None:
    found = Calibration.of(
        np.array([0.4, 0.5, 0.6, 1.0]), np.array([True, False, True, True]), bins=2
    )
    assert found.pixels_M.tolist() == [2, 2]  # a half belongs below
    assert found.correct_M.tolist() == [1, 2]
    assert found.confidence_M.tolist() == pytest.approx([0.9, 1.6])
    assert found.error == pytest.approx((abs(1 - 0.9) + abs(2 - 1.6)) / 4)
    first, second = found.table
    assert (first.low, first.high, first.pixels, second.high) == (0.0, 0.5, 2, 1.0)
    assert (first.accuracy, second.accuracy) == (0.5, 1.0)
    assert (first.confidence, second.confidence) == pytest.approx((0.45, 0.8))


@pytest.mark.parametrize("bins", [1, 10, BINS])
def test_it_is_the_plain_loop(bins: int) -> None:
    rng = np.random.default_rng(bins)
    confidence = np.concatenate([rng.random(500), np.arange(1, bins + 1) / bins])  # edges, too
    correct = rng.random(len(confidence)) < confidence**2
    assert Calibration.of(confidence, correct, bins).error == pytest.approx(
        plain_error(confidence, correct, bins), rel=1e-12
    )


def test_without_pixels_nothing_is_known() -> None:
    nothing = Calibration.nothing()
    assert math.isnan(nothing.error)
    assert len(nothing.table) == BINS
    assert all(math.isnan(row.accuracy) and row.pixels == 0 for row in nothing.table)
    assert nothing.confidence_M.dtype == np.float64
    some = Calibration.of(np.array([0.7]), np.array([True]))
    assert (nothing + some).error == pytest.approx(0.3)


def test_certainty_and_rounding_above_one_fall_into_the_last_bin() -> None:
    found = Calibration.of(
        np.array([1.0, 1.0000001, 0.0], dtype=np.float32), np.array([True, True, False])
    )
    assert found.pixels_M.tolist() == [1] + [0] * (BINS - 2) + [2]
    assert Calibration.of(np.float32([1.0000001]), np.array([False])).error == 1.0


def test_a_calibrated_model_has_a_small_error_and_a_boastful_one_a_large_one() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 200_000)
    right = rng.random(len(confidence)) < confidence
    assert Calibration.of(confidence, right).error < 0.005
    assert Calibration.of(
        confidence, rng.random(len(confidence)) < confidence - 0.2
    ).error == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("num_classes", [2, 7])
@pytest.mark.parametrize("ignore_label", [None, 1])
def test_it_is_torchmetrics(num_classes: int, ignore_label: int | None) -> None:
    generator = torch.Generator().manual_seed(num_classes)
    logits = 2 * torch.randn(4, num_classes, 8, 9, generator=generator)
    target = torch.randint(0, num_classes, (4, 8, 9), generator=generator)
    metric = MulticlassCalibrationError(
        num_classes, n_bins=BINS, norm="l1", ignore_index=ignore_label
    )
    total = Calibration.nothing()
    for frames in (slice(0, 1), slice(1, 4)):
        probabilities = logits[frames].softmax(dim=1)
        metric.update(probabilities, target[frames])
        top, labels = probabilities.max(dim=1)
        kept = target[frames] != (-1 if ignore_label is None else ignore_label)
        total += Calibration.of(top[kept].numpy(), (labels == target[frames])[kept].numpy())
    assert total.error == pytest.approx(metric.compute().item(), rel=1e-4)
