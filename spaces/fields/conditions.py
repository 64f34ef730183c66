"""Which fields are read only while another one has a certain value. Unions (``kind``) state all
other conditions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never, final

from objectives.config import ReadWhile
from spaces.domains import Choice, Domain, Fixed, Float, Int, Weight
from spaces.fields.schema import Leaf
from spaces.values import Scalar, Value, shown


@final
@dataclass(frozen=True)
class Above0:
    """Read while the governor is above 0."""

    governor: str

    def met(self, value: Value) -> bool:
        """Return whether the governor may have this value."""
        return isinstance(value, int | float) and value > 0

    def __str__(self) -> str:
        return f"{self.governor} > 0"


@final
@dataclass(frozen=True)
class OneOf:
    """Read while the governor is one of the options."""

    governor: str
    options: tuple[Scalar, ...]

    def met(self, value: Value) -> bool:
        """Return whether the governor may have this value."""
        return value in self.options

    def __str__(self) -> str:
        return f"{self.governor} is {' or '.join(map(shown, self.options))}"


@final
@dataclass(frozen=True)
class NoneOf:
    """Read while the governor is none of the options."""

    governor: str
    options: tuple[Scalar, ...]

    def met(self, value: Value) -> bool:
        """Return whether the governor may have this value."""
        return value not in self.options

    def __str__(self) -> str:
        return f"{self.governor} is not {' or '.join(map(shown, self.options))}"


Condition = Above0 | OneOf | NoneOf


def conditions_of(leaf: Leaf) -> tuple[Condition, ...]:
    """Return what must hold, all of it, for the leaf to be read."""
    return tuple(map(_condition, leaf.read_while))


def _condition(stated: ReadWhile) -> Condition:
    if stated.unless:
        return NoneOf(stated.governor, stated.unless)
    return OneOf(stated.governor, stated.options) if stated.options else Above0(stated.governor)


def is_read(leaf: Leaf, values: Mapping[str, Value]) -> bool:
    """Return whether a config with these values, which has the leaf, reads it at all; never, where
    the config does not have what governs it.
    """
    return all(
        condition.governor in values and condition.met(values[condition.governor])
        for condition in conditions_of(leaf)
    )


def can_be_met(condition: Condition, domain: Domain) -> bool:
    """Return whether some value of the governor's domain meets the condition."""
    return any(map(condition.met, _extremes(domain)))


def is_always_met(condition: Condition, domain: Domain) -> bool:
    """Return whether every value of the governor's domain meets the condition."""
    return all(map(condition.met, _extremes(domain)))


def _extremes(domain: Domain) -> tuple[Value, ...]:
    """Values that stand for all of the domain, as far as a condition tells them apart."""
    match domain:
        case Fixed(value):
            return (value,)
        case Choice(options):
            return options
        case Int(low, high) | Float(low, high):
            return low, high
        case Weight(optional):
            return (0.0, 1.0) if optional else (1.0,)
        case _:
            assert_never(domain)
