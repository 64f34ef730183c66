"""The space as a flat list of fields, for searches that do not know it."""

import random
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_bench.parts import GROUND

DRAWN = 500  # configs that tell what each field's condition is


def fields() -> list[dict[str, Any]]:
    """Return every field of the space that a config may read, with its range or options, and when it is read:
    pairs of a choice and an option of which one must hold; none: always.
    """
    dice = random.Random(0)
    drawn = [GROUND.drawn(dice, None).params for _ in range(DRAWN)]
    known: dict[str, BaseDistribution] = {}
    for params in drawn:
        known |= GROUND.distributions(params)
    return [
        {"name": name, "when": _when(name, drawn, known), **_range(distribution)}
        for name, distribution in known.items()
    ]


def read(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config reads of its parameters."""
    return {name: params[name] for name in GROUND.distributions(params)}


def _when(
    name: str, drawn: list[Mapping[str, Any]], known: Mapping[str, BaseDistribution]
) -> list[tuple[str, Any]]:
    """Return the options each of which makes a field be read."""
    if all(name in params for params in drawn):
        return []
    met = [
        (other, option)
        for other, distribution in known.items()
        if isinstance(distribution, CategoricalDistribution)
        for option in distribution.choices
        if all(name in params for params in drawn if params.get(other) == option)
    ]
    for params in drawn:
        if any(params.get(other) == option for other, option in met) != (name in params):
            raise AssertionError(f"no choice tells when {name} is read")
    return met


def _range(distribution: BaseDistribution) -> dict[str, Any]:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return {"kind": "choice", "options": list(choices)}
        case IntDistribution(low=low, high=high, log=log, step=1):
            return {"kind": "int", "low": low, "high": high, "log": log}
        case FloatDistribution(low=low, high=high, log=log, step=None):
            return {"kind": "float", "low": low, "high": high, "log": log}
    raise AssertionError(f"no peer is told of such a range: {distribution}")
