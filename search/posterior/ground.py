"""What is searched: a space with its conditions, or the ranges that the trials of any study of Optuna's
have in common.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial

from search.posterior.coordinates import (
    Coordinates,
    Field,
    Number,
    Option,
    coordinates_of,
    values_of,
)
from search.posterior.draws import FromTrial
from spaces import FromParams, Space
from spaces.dice import FromDice, Near
from spaces.values import Scalar, Value

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Tried:
    """A config: its parameters, and the values of the fields that it reads."""

    params: Params
    values: Mapping[str, Value]


class Ground(Protocol):
    """What is searched."""

    @property
    def control(self) -> Params:
        """The parameters of the config that all are compared with."""

    @property
    def coordinates(self) -> Coordinates:
        """Configs as points."""

    def drawn(self, dice: random.Random, near: Near | None) -> Tried:
        """Return a config at random, or near one that was tried."""

    def tried(self, params: Params) -> Tried:
        """Return the config with these parameters."""

    def near(self, params: Params, *, changes: float = 1.0) -> Near:
        """Return how to draw near a config."""

    def distributions(self, params: Params) -> dict[str, BaseDistribution]:
        """Return what each of a config's parameters is drawn from."""

    @property
    def epochs(self) -> int:
        """How many epochs a whole training has; 0: not known."""


@dataclass(frozen=True)
class SpaceGround:
    """A space, whose conditions hold for every config that is drawn. What it was asked of a config it
    knows.
    """

    space: Space
    _known: dict[tuple[Any, ...], Tried] = field(default_factory=dict, compare=False, repr=False)

    @property
    def control(self) -> Params:
        """The space's control."""
        return self.space.control

    @cached_property
    def coordinates(self) -> Coordinates:
        """Configs as points."""
        return coordinates_of(self.space)

    def drawn(self, dice: random.Random, near: Near | None) -> Tried:
        """Return a config at random, or near one."""
        source = FromDice(dice, near)
        config = self.space.draw(source)
        return Tried(source.answers, values_of(self.space, source.answers, config))

    def tried(self, params: Params) -> Tried:
        """Return the config with these parameters.

        Raises:
            ProblemsError: They are none of the space's.
        """
        key = tuple(sorted(params.items()))
        if key not in self._known:
            config = self.space.draw(FromParams(params))
            self._known[key] = Tried(dict(params), values_of(self.space, params, config))
        return self._known[key]

    def near(self, params: Params, *, changes: float = 1.0) -> Near:
        """Return how to draw near a config."""
        return Near(params, changes=changes)

    def distributions(self, params: Params) -> dict[str, BaseDistribution]:
        """Return what each of a config's parameters is drawn from."""
        fixed = FixedTrial(dict(params))
        if params:
            self.space.draw(FromTrial(fixed))
        return fixed.distributions

    @cached_property
    def epochs(self) -> int:
        """How many epochs a whole training has."""
        return self.space.default().train.epochs


@dataclass(frozen=True)
class FlatGround:
    """Ranges and options without conditions; a config that lacks one of them is where the control
    is. An option is known by its number, as Optuna's may be anything.
    """

    space: Mapping[str, BaseDistribution]
    control: Params

    @cached_property
    def coordinates(self) -> Coordinates:
        """Configs as points."""
        fields = {name: _field(each) for name, each in self.space.items()}
        return Coordinates(fields, self._values(self.control))

    def drawn(self, dice: random.Random, near: Near | None) -> Tried:
        """Return a config at random, or near one."""
        source = FromDice(dice, near)
        values = {name: _ask(source, name, each) for name, each in self.space.items()}
        params = {
            name: each.choices[int(values[name])]
            if isinstance(each, CategoricalDistribution)
            else values[name]
            for name, each in self.space.items()
        }
        return Tried(params, values)

    def tried(self, params: Params) -> Tried:
        """Return the config with these parameters."""
        return Tried(params, self._values(params))

    def near(self, params: Params, *, changes: float = 1.0) -> Near:
        """Return how to draw near a config."""
        return Near(self._values(params), changes=changes)

    def distributions(self, params: Params) -> dict[str, BaseDistribution]:
        """Return what each of a config's parameters is drawn from."""
        return {name: each for name, each in self.space.items() if name in params}

    @property
    def epochs(self) -> int:
        """Not known."""
        return 0

    def _values(self, params: Params) -> dict[str, Scalar]:
        return {
            name: value
            for name, each in self.space.items()
            if name in params and (value := _value(each, params[name])) is not None
        }


def _value(distribution: BaseDistribution, given: Any) -> Scalar | None:
    """Return a parameter as `_ask` gives it; None where the distribution does not have it."""
    try:
        internal = distribution.to_internal_repr(given)
    except ValueError:
        return None
    if not distribution._contains(internal):
        return None
    return internal if isinstance(distribution, FloatDistribution) else int(internal)


def _field(distribution: BaseDistribution) -> Field:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return Option(tuple(range(len(choices))))
        case FloatDistribution() | IntDistribution():
            return Number(distribution.low, distribution.high, distribution.log)
        case _:
            raise AssertionError(f"a distribution of Optuna's that it did not have: {distribution}")


def _ask(source: FromDice, name: str, distribution: BaseDistribution) -> Scalar:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return source.choice(name, range(len(choices)))
        case IntDistribution(low=low, high=high, step=step, log=log):
            return source.int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            value = source.float(name, low, high, log=log)
            if step is None:
                return value
            steps = min(round((value - low) / step), math.floor((high - low) / step + 1e-9))
            return min(low + steps * step, high)
        case _:
            raise AssertionError(f"a distribution of Optuna's that it did not have: {distribution}")
