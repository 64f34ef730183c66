"""Optimisers and learning-rate schedules, built from their configs."""

import math
from collections.abc import Sequence
from typing import Any, assert_never

from torch import nn, optim

from objectives.config import SGD, Adam, AdamW, Cosine, Lion, OneCycle, Optimiser, Plateau, Schedule
from objectives.training import lion

RATE = "rate"  # what a group's learning rate is multiplied by; without it 1


def build_optimiser(
    config: Optimiser, model: nn.Module, carried: Sequence[nn.Parameter] = ()
) -> optim.Optimizer:
    """Return the optimiser over all weights, one launch for all of them on a GPU; norms and biases
    (one axis or none) are not decayed, and ``carried`` weights have their own share of the rate.
    """
    slower = set(carried)
    groups = _groups([p for p in model.parameters() if p not in slower], config.weight_decay)
    if slower:
        groups += [
            {**group, RATE: config.encoder_rate} for group in _groups(carried, config.weight_decay)
        ]
    match config:
        case AdamW():
            return optim.AdamW(groups, lr=config.learning_rate, fused=True)
        case Adam():
            return optim.Adam(groups, lr=config.learning_rate, fused=True)
        case SGD():
            return optim.SGD(
                groups,
                lr=config.learning_rate,
                momentum=config.momentum,
                nesterov=config.momentum > 0,
                fused=True,
            )
        case Lion():
            return lion.Lion(groups, config.learning_rate)
        case _:
            assert_never(config)


def _groups(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


class LearningRate:
    """Sets an optimiser's learning rate before each step, as a function of the steps done and of
    the merits heard.

    The state that a checkpoint needs is ``state_dict()``: plain numbers.
    """

    def __init__(
        self, schedule: Schedule, optimiser: optim.Optimizer, base: float, total_steps: int
    ) -> None:
        self.schedule = schedule
        self.optimiser = optimiser
        self.base = base
        self.total_steps = total_steps
        self.steps = 0
        # Plateau alone remembers: its factor, the best merit, and the epochs since
        self.factor = 1.0
        self.best = -math.inf
        self.bad_epochs = 0

    @property
    def value(self) -> float:
        """The learning rate of the next step."""
        return self.base * self._factor()

    def before_step(self) -> None:
        """Give the optimiser the learning rate of this step, and count it."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.value * group.get(RATE, 1.0)
        self.steps += 1

    def after_epoch(self, merit: float, *, afresh: bool = False) -> None:
        """Tell the schedule the epoch's merit, which should rise; only Plateau listens.

        With ``afresh`` those of the epochs before are no measure for it.
        """
        if not isinstance(self.schedule, Plateau):
            return
        if afresh or merit > self.best:
            self.best = merit
            self.bad_epochs = 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > self.schedule.patience:
            self.factor, self.bad_epochs = self.factor * self.schedule.factor, 0

    def state_dict(self) -> dict[str, float]:
        """Everything that changes while training."""
        heard = {"best": self.best} if math.isfinite(self.best) else {}
        return {"steps": self.steps, "factor": self.factor, "bad_epochs": self.bad_epochs, **heard}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a state that ``state_dict`` gave."""
        self.steps = int(state["steps"])
        self.bad_epochs = int(state["bad_epochs"])
        self.factor = state["factor"]
        self.best = state.get("best", -math.inf)

    def _factor(self) -> float:
        progress = min(1.0, self.steps / max(1, self.total_steps))
        match self.schedule:
            case Cosine(warmup=warmup):
                return cosine_factor(progress, warmup, 1 / max(1, self.total_steps))
            case OneCycle(warmup=warmup):
                return one_cycle_factor(progress, warmup)
            case Plateau():
                return self.factor
            case _:
                assert_never(self.schedule)


def cosine_factor(progress: float, warmup: float, first: float) -> float:
    """Share of the learning rate at ``progress`` in 0..1: linear up to ``warmup``, then half a
    cosine to 0.

    ``first`` is the progress of one step: it keeps the first step from being one of learning rate
    0. Source: Loshchilov and Hutter 2017 (SGDR), equation 5 without restarts.
    """
    if progress < warmup:
        return min(1.0, (progress + first) / warmup)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def one_cycle_factor(
    progress: float, warmup: float, *, start: float = 1 / 25, end: float = 1e-4
) -> float:
    """Share of the learning rate at ``progress`` in 0..1: cosine from ``start`` up to 1 at
    ``warmup``, then down to ``end``.

    Source: Smith and Topin 2018 (super-convergence), with cosine instead of straight lines.
    """
    low, high, part = (
        (start, 1.0, progress / warmup)
        if progress < warmup
        else (1.0, end, (progress - warmup) / (1 - warmup))
    )
    return high + (low - high) * 0.5 * (1 + math.cos(math.pi * part))
