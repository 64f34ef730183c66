"""Configs as points: one coordinate a field of the space, and how far two of them are apart in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from objectives.config import Config
from spaces import Space
from spaces.dice import share_of
from spaces.domains import Choice, Fixed, Float, Int, Weight
from spaces.fields.schema import flatten
from spaces.values import Scalar, Value, token

UNIT = 0.25  # a number is far from another when they differ by so much of its range,
MOST_UNITS = 4.0  # squared; the far end of a range says no more than this
SLOPE = 0.3  # spreads of the scores that all slopes together explain, a unit from the control
NOWHERE = 0.5  # of a field that neither the config nor the control has


@dataclass(frozen=True)
class Number:
    """A number's field: its share of the range, of the logarithm's where ``log``."""

    low: float
    high: float
    log: bool = False

    def at(self, value: Value | None) -> float:
        """Return the coordinate of a value."""
        if not isinstance(value, int | float):
            return NOWHERE
        return share_of(min(max(value, self.low), self.high), self.low, self.high, log=self.log)

    def squared(self, a_N: np.ndarray, b_M: np.ndarray) -> np.ndarray:
        """Return squared differences (N, M)."""
        return np.asarray(np.subtract.outer(a_N, b_M) ** 2)


@dataclass(frozen=True)
class Option:
    """A choice's field: the number of the option."""

    options: tuple[Value, ...]

    def at(self, value: Value | None) -> float:
        """Return the coordinate of a value; one more than there are options for any other."""
        return float(
            self.options.index(value)
            if value is not None and value in self.options
            else len(self.options)
        )

    def squared(self, a_N: np.ndarray, b_M: np.ndarray) -> np.ndarray:
        """Return squared differences (N, M): 1 between any two options."""
        return np.asarray(np.not_equal.outer(a_N, b_M), float)


Field = Number | Option


@dataclass(frozen=True)
class Coordinates:
    """The fields of a space that are free, by name, and the control's values."""

    fields: Mapping[str, Field]
    control: Mapping[str, Value]

    def of(self, values: Mapping[str, Value]) -> np.ndarray:
        """Return a config's point (D,), from the values of the fields that it reads; one that it
        does not read changes nothing, so that it is where the control is.
        """
        return np.array(
            [
                field.at(values.get(name, self.control.get(name)))
                for name, field in self.fields.items()
            ]
        )

    def squared(self, a_ND: np.ndarray, b_MD: np.ndarray) -> np.ndarray:
        """Return squared differences of points field by field, (D, N, M)."""
        return np.stack(
            [
                field.squared(a_ND[:, place], b_MD[:, place])
                for place, field in enumerate(self.fields.values())
            ]
        )

    def distances(self, a_ND: np.ndarray, b_MD: np.ndarray) -> np.ndarray:
        """Return squared distances (N, M) of points: the sum over fields."""
        total = np.zeros((len(a_ND), len(b_MD)))
        for place, field in enumerate(self.fields.values()):
            total += field.squared(a_ND[:, place], b_MD[:, place])
        return total

    def effects(self, points_ND: np.ndarray) -> np.ndarray:
        """Return what each of D fields may do to a score by itself, (N, 1 + 2 D): how far a point is
        from the control, which is the mean over fields of the squared difference in units of `UNIT`,
        where a changed choice counts as one; each field's part of that mean; and each number's
        signed difference, so that of a field the one side may be better than the other.

        Effects of single fields explain most of what hyperparameters do: Hutter et al. 2014 (An
        Efficient Approach for Assessing Hyperparameter Importance), section 5.
        """
        if not self.fields:
            return np.zeros((len(points_ND), 1))
        control_D = self.of({})
        squared_ND = self.squared(points_ND, control_D[None])[:, :, 0].T
        numbers_D = np.array([isinstance(field, Number) for field in self.fields.values()])
        units_ND = np.where(numbers_D, squared_ND / UNIT**2, squared_ND)
        bends_ND = np.minimum(units_ND, MOST_UNITS) / len(self.fields)
        signed_ND = np.clip((points_ND - control_D) / UNIT, -(MOST_UNITS**0.5), MOST_UNITS**0.5)
        slopes_ND = np.where(numbers_D, signed_ND, 0.0) * SLOPE / len(self.fields) ** 0.5
        return np.hstack([bends_ND.sum(axis=1, keepdims=True), bends_ND, slopes_ND])


def coordinates_of(space: Space) -> Coordinates:
    """Return the coordinates of a space: its free numbers and choices, and the shares of its loss."""
    return Coordinates(
        {
            path: _field(domain)
            for path, domain in space.domains.items()
            if not isinstance(domain, Fixed)
        },
        values_of(space, space.control, space.default()),
    )


def values_of(space: Space, params: Mapping[str, Scalar], config: Config) -> dict[str, Value]:
    """Return the values of the free fields that a config of the space reads, from its parameters
    and itself.
    """
    every = flatten(config)
    shares = {
        path: every[path]
        for path, domain in space.domains.items()
        if isinstance(domain, Weight) and path in every
    }
    return {name: value for name, value in params.items() if name in space.domains} | shares


def points_of(coordinates: Coordinates, configs: Sequence[Mapping[str, Value]]) -> np.ndarray:
    """Return the points (N, D) of configs by their values."""
    return np.array([coordinates.of(values) for values in configs]).reshape(
        len(configs), len(coordinates.fields)
    )


def _field(domain: Int | Float | Choice | Weight) -> Field:
    match domain:
        case Int(low=low, high=high, log=log) | Float(low=low, high=high, log=log):
            return Number(low, high, log)
        case Weight():
            return Number(0.0, 1.0)
        case Choice(options=options):
            numbers = [each for each in options if isinstance(each, int | float)]
            if len(numbers) < len(options) or any(isinstance(each, bool) for each in numbers):
                return Option(tuple(token(option) for option in options))
            return Number(min(numbers), max(numbers), log=min(numbers) > 0)
