"""Optimisers and schedules against closed forms and against torch's own."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, optim
from torch.optim import lr_scheduler

from objectives.config import SGD, Adam, AdamW, Cosine, Lion, OneCycle, Optimiser, Plateau, Schedule
from objectives.training.optimise import (
    LearningRate,
    build_optimiser,
    cosine_factor,
    one_cycle_factor,
)

OPTIMISERS: list[Optimiser] = [
    AdamW(weight_decay=0.1),
    Adam(weight_decay=0.1),
    SGD(weight_decay=0.1),
    SGD(momentum=0.0),
]
OPTIMISERS.append(Lion(weight_decay=0.5))
SCHEDULES: list[Schedule] = [Cosine(), OneCycle(), Plateau(patience=0)]


def small_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4)
    )


def rates(schedule: Schedule, steps: int, base: float = 0.5) -> list[float]:
    """The learning rate that the optimiser has at each step."""
    optimiser = build_optimiser(AdamW(), small_model())
    learning_rate = LearningRate(schedule, optimiser, base, steps)
    seen = []
    for _ in range(steps):
        learning_rate.before_step()
        (rate,) = {group["lr"] for group in optimiser.param_groups}
        seen.append(rate)
    return seen


def torch_rates(build: Any, steps: int, base: float = 0.5) -> list[float]:
    """The same of one of torch's schedulers."""
    optimiser = optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = build(optimiser)
    seen = []
    for _ in range(steps):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("config", OPTIMISERS, ids=str)
def test_norms_and_biases_are_not_decayed_and_every_weight_is_trained(config: Optimiser) -> None:
    model = small_model()
    optimiser = build_optimiser(config, model)
    decay = {
        id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]
    }
    assert decay.keys() == {id(p) for p in model.parameters()}
    for module in model:
        for name, parameter in module.named_parameters():
            kept_small = isinstance(module, nn.Conv2d) and name == "weight"
            assert decay[id(parameter)] == (config.weight_decay if kept_small else 0.0)
    assert {group["lr"] for group in optimiser.param_groups} == {config.learning_rate}


def test_momentum_is_nesterov_and_none_at_zero() -> None:
    for momentum in (0.9, 0.0):
        (group, _) = build_optimiser(SGD(momentum=momentum), small_model()).param_groups
        assert (group["momentum"], group["nesterov"]) == (momentum, momentum > 0)


def lion_by_hand(
    weight: np.ndarray, gradients: list[np.ndarray], rates: list[float], decay: float
) -> np.ndarray:
    """Chen et al. 2023, algorithm 2, line by line."""
    average = np.zeros_like(weight)
    for gradient, rate in zip(gradients, rates, strict=True):
        update = 0.9 * average + (1 - 0.9) * gradient
        weight = weight - rate * (np.sign(update) + decay * weight)
        average = 0.99 * average + (1 - 0.99) * gradient
    return weight


def test_lion_is_the_papers_algorithm() -> None:
    model = small_model().double()
    before = [parameter.detach().numpy().copy() for parameter in model.parameters()]
    optimiser = build_optimiser(Lion(weight_decay=0.5), model)
    generator, rates = torch.Generator().manual_seed(0), [0.1, 0.03, 0.3, 0.01, 0.2, 0.05]
    gradients = [
        [torch.randn(p.shape, generator=generator).double() for p in model.parameters()]
        for _ in rates
    ]
    for of_step, rate in zip(gradients, rates, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate
        for parameter, gradient in zip(model.parameters(), of_step, strict=True):
            parameter.grad = gradient.clone()
        optimiser.step()
    for number, (parameter, start) in enumerate(zip(model.parameters(), before, strict=True)):
        decay = 0.5 if parameter.ndim > 1 else 0.0
        expected = lion_by_hand(
            start, [of_step[number].numpy() for of_step in gradients], rates, decay
        )
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
        assert list(optimiser.state[parameter]) == ["exp_avg"]


def test_lion_leaves_weights_without_a_gradient_and_zero_gradients_alone() -> None:
    model = small_model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimiser = build_optimiser(Lion(weight_decay=0.0), model)
    optimiser.step()
    first, *_ = model.parameters()
    first.grad = torch.zeros_like(first)
    optimiser.step()
    assert all(
        torch.equal(parameter, start)
        for parameter, start in zip(model.parameters(), before, strict=True)
    )
    assert list(optimiser.state) == [first]


@pytest.mark.parametrize("config", [AdamW(), Adam(), SGD(), Lion()], ids=lambda config: config.kind)
def test_every_optimiser_goes_down_a_slope(config: Optimiser) -> None:
    model = nn.Conv2d(1, 1, 3)
    optimiser = build_optimiser(
        config.model_copy(update={"learning_rate": 0.01, "weight_decay": 0.0}), model
    )
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = sum(((parameter - 0.5) ** 2).sum() for parameter in model.parameters())
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


def test_cosine_without_warmup_is_torchs() -> None:
    theirs = torch_rates(lambda optimiser: lr_scheduler.CosineAnnealingLR(optimiser, T_max=40), 40)
    assert rates(Cosine(warmup=0.0), 40) == pytest.approx(theirs, abs=1e-9)


def test_cosine_climbs_in_a_straight_line_then_follows_half_a_cosine() -> None:
    seen = rates(Cosine(warmup=0.25), 40, base=2.0)
    assert seen[:10] == pytest.approx([2.0 * (step + 1) / 10 for step in range(10)])
    assert seen[10:] == pytest.approx([1.0 + math.cos(math.pi * step / 30) for step in range(30)])


@pytest.mark.parametrize("steps", [30, 100])
def test_one_cycle_is_torchs(steps: int) -> None:
    # torch counts its phases in steps from 0 to total - 1 with the peak one step early: one step
    # more, and it is ours
    def build(optimiser: optim.Optimizer) -> lr_scheduler.OneCycleLR:
        return lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=0.5,
            total_steps=steps + 1,
            pct_start=(0.3 * steps + 1) / (steps + 1),
            div_factor=25,
            final_div_factor=400,
            cycle_momentum=False,
        )

    assert rates(OneCycle(warmup=0.3), steps) == pytest.approx(torch_rates(build, steps), abs=1e-9)


@given(warmup=st.floats(0.0, 0.5), steps=st.integers(1, 300))
def test_every_step_learns_and_none_faster_than_it_was_told(warmup: float, steps: int) -> None:
    for schedule in (Cosine(warmup=warmup), OneCycle(warmup=warmup)):
        seen = rates(schedule, steps, base=1.0)
        assert all(0.0 < rate <= 1.0 + 1e-12 for rate in seen)
        top = seen.index(max(seen))
        assert all(a <= b for a, b in pairwise(seen[: top + 1]))
        assert all(a >= b for a, b in pairwise(seen[top:]))


def test_the_factors_end_where_they_should() -> None:
    assert cosine_factor(1.0, 0.1, 0.01) == pytest.approx(0.0)
    assert (one_cycle_factor(0.0, 0.3), one_cycle_factor(0.3, 0.3)) == pytest.approx((1 / 25, 1.0))
    assert one_cycle_factor(1.0, 0.3) == pytest.approx(1e-4)


@given(scores=st.lists(st.floats(0.0, 1.0), max_size=40), patience=st.integers(0, 4))
def test_plateau_is_torchs(scores: list[float], patience: int) -> None:
    ours = LearningRate(
        Plateau(factor=0.5, patience=patience), build_optimiser(AdamW(), small_model()), 1.0, 40
    )
    theirs_optimiser = optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(
        theirs_optimiser,
        mode="max",
        factor=0.5,
        patience=patience,
        threshold=0.0,
        threshold_mode="abs",
        eps=0.0,
    )
    for score in scores:
        ours.after_epoch(score)
        theirs.step(score)
        assert ours.value == theirs_optimiser.param_groups[0]["lr"]


def test_the_plateau_of_the_reports_falls_to_a_tenth_after_fifteen_epochs_without_gain() -> None:
    learning_rate = LearningRate(
        Plateau(factor=0.1, patience=15), build_optimiser(AdamW(), small_model()), 1.0, 40
    )
    seen = []
    for score in [0.5] + [0.4] * 32:
        learning_rate.after_epoch(score)
        seen.append(learning_rate.value)
    assert seen == [1.0] * 16 + [pytest.approx(0.1)] * 16 + [pytest.approx(0.01)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("done", [0, 1, 7])
def test_a_restored_schedule_goes_on_as_if_never_stopped(schedule: Schedule, done: int) -> None:
    scores = [0.1, 0.3, 0.2, 0.2, 0.4, 0.1, 0.1, 0.1, 0.5, 0.2]

    def drive(learning_rate: LearningRate, epochs: list[float]) -> list[float]:
        seen = []
        for score in epochs:
            learning_rate.before_step()
            learning_rate.after_epoch(score)
            seen.append(learning_rate.value)
        return seen

    whole, first, second = (
        LearningRate(schedule, build_optimiser(AdamW(), small_model()), 1.0, 10) for _ in range(3)
    )
    drive(first, scores[:done])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert drive(second, scores[done:]) == drive(whole, scores)[done:]


def test_a_plateau_hears_losses_as_merits_below_any_score_and_forgets_them_when_told() -> None:
    def heard(learning_rate: LearningRate, *merits: float, afresh: bool = False) -> float:
        for merit in merits:
            learning_rate.after_epoch(merit, afresh=afresh)
        return learning_rate.value

    whole, second = (
        LearningRate(
            Plateau(factor=0.5, patience=0), build_optimiser(AdamW(), small_model()), 1.0, 10
        )
        for _ in range(2)
    )
    second.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    # one that was restored before its first epoch has no best either
    for learning_rate in (whole, second):
        assert heard(learning_rate, -7.0, -6.0) == 1.0
        assert heard(learning_rate, -6.5) == 0.5
        assert heard(learning_rate, -9.0, afresh=True) == 0.5
        assert heard(learning_rate, -8.0) == 0.5
        assert heard(learning_rate, -8.5) == 0.25
