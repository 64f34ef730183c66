"""What searches are played in: a world has true scores of any config, and runs of it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from search_bench.nearest import Nearest
from search_bench.surrogate import Surrogate

Floats = npt.NDArray[np.float64]
KINDS = ("surrogate", "nearest")


class World(Protocol):
    """Configs, by their points, and what they score."""

    @property
    def name(self) -> str:
        """What it is made of, and how."""

    @property
    def told(self) -> int:
        """How many recorded runs it is made of."""

    @property
    def epochs(self) -> int:
        """How many epochs a whole training has."""

    @property
    def control(self) -> Floats:
        """The control's point."""

    @property
    def attainable(self) -> float:
        """What the best config that can be found truly gains over the control."""

    def run(self, point_D: Floats, dice: np.random.Generator) -> Floats:
        """Return the scores (E,) of a run."""

    def truth(self, points_ND: Floats) -> Floats:
        """Return the true scores (N,) of configs at their end."""


def worlds_of(table: str, kind: str, repetitions: int, told: int = 0) -> Sequence[World]:
    """Return the world of each repetition: one surrogate for all, made of the first ``told`` runs or of
    all; or the nearest configs, of which each repetition sees other runs.
    """
    if kind == "nearest":
        return [Nearest(table, repetition) for repetition in range(repetitions)]
    return [Surrogate(table, told=told)] * repetitions


def gain_of(world: World, point_D: Floats) -> float:
    """Return what a config is truly worth more than the control."""
    truth, control = world.truth(np.stack([point_D, world.control]))
    return float(truth - control)
