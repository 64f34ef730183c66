"""How long a training takes, by those that have ended."""

import math
from dataclasses import replace
from statistics import median

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from search.study.trainings import PROPORTIONAL, Training, epoch_s, expense

ENDED = Training("COMPLETE", "CPU", 1e6, epochs=10, train_s=50.0, held_s=58.0)


def trainings(seed: int, count: int, slope: float, noise: float) -> list[Training]:
    """Return trainings whose seconds grow with a power of their multiply-adds."""
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(18.0, 0.8, count))
    seconds = np.exp(-12.0 + slope * np.log(sizes) + random.normal(0.0, noise, count))
    return [
        replace(ENDED, multiply_adds=size, train_s=10 * each, held_s=10 * each + 8)
        for size, each in zip(sizes, seconds, strict=True)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_line_is_the_penalised_least_squares_one(seed: int) -> None:
    told = trainings(seed, 7, 0.6, 0.2)
    x = np.array([math.log(each.multiply_adds) for each in told])
    y = np.array([math.log(each.train_s / each.epochs) for each in told])

    def loss(slope: float) -> float:
        residuals = y - slope * x
        return float(np.sum((residuals - residuals.mean()) ** 2) + PROPORTIONAL * (slope - 1) ** 2)

    slope = minimize_scalar(loss).x
    height = median(y - slope * x)
    asked = 3e8
    assert epoch_s(told, asked) == pytest.approx(math.exp(height + slope * math.log(asked)), 1e-4)


def test_many_trainings_tell_the_slope_and_one_leaves_it_proportional() -> None:
    many = trainings(0, 400, 0.5, 0.1)
    assert epoch_s(many, 4e8) / epoch_s(many, 1e8) == pytest.approx(2.0, rel=0.05)
    assert epoch_s([ENDED], 3e6) == pytest.approx(15.0)
    assert epoch_s([ENDED], 0.0) == 5.0


def test_one_slow_training_moves_no_estimate_far() -> None:
    told = trainings(1, 9, 1.0, 0.05)
    slow = [replace(told[0], train_s=20 * told[0].train_s), *told[1:]]
    assert epoch_s(slow, 1e8) == pytest.approx(epoch_s(told, 1e8), rel=0.4)


def test_a_training_has_the_epochs_of_whole_ones_and_what_a_trial_takes_besides() -> None:
    pruned = replace(ENDED, state="PRUNED", epochs=2, train_s=10.0, held_s=18.0)
    assert expense([ENDED, pruned], "CPU").each_s == pytest.approx(10 * 5.0 + 8.0)
    assert expense([pruned], "CPU").each_s == 0.0  # how many epochs a whole one has is not known


def test_each_kind_of_device_has_its_own_time_and_a_look_takes_the_least() -> None:
    gpu = replace(ENDED, device="H200", train_s=5.0, held_s=6.0)
    both = [ENDED, gpu]
    assert expense(both, "CPU").each_s == pytest.approx(58.0)
    assert expense(both, "H200").each_s == pytest.approx(6.0)
    assert expense(both).each_s == pytest.approx(6.0)
    assert expense(both, "another").each_s == 0.0


def test_what_is_at_hand_takes_the_rest_of_its_time() -> None:
    young, old, waiting = (
        Training(state, "", 0.0, epochs=0, train_s=0.0, held_s=held_s)
        for state, held_s in (("RUNNING", 18.0), ("RUNNING", 70.0), ("WAITING", 0.0))
    )
    assert expense([ENDED, young, old, waiting], "CPU").at_hand_s == pytest.approx(40.0)
    assert expense([young], "CPU").at_hand_s == 0.0
