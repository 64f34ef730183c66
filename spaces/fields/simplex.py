"""The weights of a mixture's terms, drawn so that they always add up to 1.

A fixed term keeps its weight. Each optional term first draws ``<path>.on``; of the free terms that
are on, each draws ``<path>.weight`` when there are at least two, and they share what the fixed ones
leave, in proportion. When all are off, the first free term takes it.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from objectives.errors import Problem
from spaces.domains import Domain, Fixed, Weight
from spaces.fields.schema import Leaf, leaves
from spaces.source import ValueSource
from spaces.values import Scalar, Value, shown

LOWEST_WEIGHT = 0.05  # of a term that is on, where the largest possible is 1
_TOLERANCE = 1e-6  # the config's own, on the sum


@dataclass(frozen=True)
class Simplex:
    """The terms of one mixture of the config, by path, and the kinds under which it exists."""

    section: str
    paths: tuple[str, ...]
    when: tuple[tuple[str, str], ...]


@functools.cache
def simplices() -> tuple[Simplex, ...]:
    """Return every mixture of the config, in the order of its fields."""
    return tuple(dict.fromkeys(_by_own_path().values()))


def simplex_of(leaf: Leaf) -> Simplex:
    """Return the mixture of which the leaf is a term."""
    return _by_own_path()[leaf.own_path]


@functools.cache
def share_paths() -> Mapping[str, str]:
    """Return the path of each term, by that path and by the one that names its variant: terms are
    drawn under the first alone.
    """
    return {
        name: leaf.path for leaf in leaves() if leaf.is_share for name in (leaf.path, leaf.own_path)
    }


@functools.cache
def _by_own_path() -> Mapping[str, Simplex]:
    terms: dict[str, list[Leaf]] = {}
    for leaf in leaves():
        if leaf.is_share:
            terms.setdefault(_section(leaf.own_path), []).append(leaf)
    mixtures = {
        own: Simplex(
            _section(members[0].path), tuple(leaf.path for leaf in members), members[0].when
        )
        for own, members in terms.items()
    }
    return {leaf.own_path: mixtures[own] for own, members in terms.items() for leaf in members}


def check_simplex(
    simplex: Simplex, domains: Mapping[str, Domain], own: frozenset[str]
) -> list[Problem]:
    """Return what is wrong with the terms' domains taken together; ``own`` are the paths that the
    user gave.
    """
    rest = _rest(simplex, domains)
    free = _free(simplex, domains)
    fixed = ", ".join(
        f"{path} {_fixed(domains, path):g}" for path in simplex.paths if path not in free
    )
    if rest < -_TOLERANCE:
        return [
            Problem(
                simplex.section, "the fixed weights of its terms must add up to at most 1", fixed
            )
        ]
    if rest > _TOLERANCE and not free:
        return [
            Problem(
                simplex.section,
                "the weights of its terms must add up to 1 or leave one term free",
                fixed,
            )
        ]
    starved = [
        path
        for path, weight in free.items()
        if rest <= _TOLERANCE and (path in own or not weight.optional)
    ]
    return [
        Problem(path, f"needs a share of {simplex.section}, but the fixed terms leave none", fixed)
        for path in starved
    ]


def settle_simplex(simplex: Simplex, domains: Mapping[str, Domain]) -> dict[str, Domain]:
    """Return the terms' domains with everything fixed that is no longer free: nothing is left, or
    one term takes it all.
    """
    rest = _rest(simplex, domains)
    free = _free(simplex, domains)
    settled = {path: domains[path] for path in simplex.paths}
    if rest <= _TOLERANCE:
        settled |= {path: Fixed(0.0) for path in free}
    elif len(free) == 1:
        settled |= {path: Fixed(round(rest, 12)) for path in free}
    return settled


def draw_weights(
    simplex: Simplex, domains: Mapping[str, Domain], source: ValueSource
) -> dict[str, Value]:
    """Return the weight of each term by path."""
    free = _free(simplex, domains)
    active = [
        path
        for path, weight in free.items()
        if not weight.optional or source.choice(f"{path}.on", (True, False))
    ]
    active = active or list(free)[:1]
    if len(active) < 2:
        return _shares(simplex, domains, dict.fromkeys(active, 1.0))
    return _shares(
        simplex,
        domains,
        {path: source.float(f"{path}.weight", LOWEST_WEIGHT, 1.0) for path in active},
    )


def nearest_weights(
    simplex: Simplex, domains: Mapping[str, Domain], wishes: Mapping[str, float]
) -> dict[str, Value]:
    """Return the weights closest to the wished ones: wishes for free terms are scaled to the share
    that is left.
    """
    free = _free(simplex, domains)
    wished = {path: wishes[path] for path in free if wishes[path] > 0}
    if not wished and free:
        wished = {
            next(
                (path for path, weight in free.items() if not weight.optional), next(iter(free))
            ): 1.0
        }
    largest = max(wished.values(), default=1.0)
    relative = {path: max(weight / largest, LOWEST_WEIGHT) for path, weight in wished.items()}
    relative |= {
        path: LOWEST_WEIGHT
        for path, weight in free.items()
        if not weight.optional and path not in relative
    }
    return _shares(simplex, domains, relative)


def encode_weights(
    simplex: Simplex, domains: Mapping[str, Domain], values: Mapping[str, Value]
) -> tuple[dict[str, Scalar], list[Problem]]:
    """Return the parameters that give these weights, and why they cannot be drawn."""
    free = _free(simplex, domains)
    problems = [
        Problem(path, f"is fixed at {_fixed(domains, path):g} in this space", shown(values[path]))
        for path in simplex.paths
        if path not in free and abs(float(values[path]) - _fixed(domains, path)) > _TOLERANCE  # type: ignore[arg-type]
    ]
    weights = {path: float(values[path]) for path in free}  # type: ignore[arg-type]
    largest = max(weights.values(), default=1.0)
    params: dict[str, Scalar] = {
        f"{path}.on": weights[path] > 0 for path, weight in free.items() if weight.optional
    }
    active = [path for path, weight in free.items() if weights[path] > 0 or not weight.optional]
    for path in active if len(active) > 1 else []:
        relative = weights[path] / largest if largest > 0 else 0.0
        params[f"{path}.weight"] = max(relative, LOWEST_WEIGHT)
        if relative < LOWEST_WEIGHT * (1 - 1e-9):
            off = "0 or " if free[path].optional else ""
            rule = (
                f"must be {off}at least {LOWEST_WEIGHT:g} times the largest free weight "
                f"({largest:g})"
            )
            problems.append(Problem(path, rule, shown(values[path])))
    return params, problems


def _shares(
    simplex: Simplex, domains: Mapping[str, Domain], relative: Mapping[str, float]
) -> dict[str, Value]:
    """Weights by path: fixed ones as they are, the rest divided in proportion to ``relative``."""
    rest = _rest(simplex, domains)
    total = sum(relative.values())
    free = _free(simplex, domains)
    return {
        path: rest * (relative.get(path, 0.0) / total) if path in free else _fixed(domains, path)
        for path in simplex.paths
    }


def _free(simplex: Simplex, domains: Mapping[str, Domain]) -> dict[str, Weight]:
    return {path: domain for path in simplex.paths if isinstance(domain := domains[path], Weight)}


def _fixed(domains: Mapping[str, Domain], path: str) -> float:
    domain = domains[path]
    assert isinstance(domain, Fixed)
    return float(domain.value)  # type: ignore[arg-type]


def _rest(simplex: Simplex, domains: Mapping[str, Domain]) -> float:
    free = _free(simplex, domains)
    return 1.0 - sum(_fixed(domains, path) for path in simplex.paths if path not in free)


def _section(path: str) -> str:
    return path.rpartition(".")[0]
