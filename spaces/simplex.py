"""The weights of the loss terms, drawn so that they always add up to 1.

A fixed term keeps its weight. Each optional term first draws ``<path>.on``; of the free terms that are on, each draws
``<path>.weight`` when there are at least two, and they share what the fixed ones leave, in proportion. When all are off,
the first free term takes it.
"""

from collections.abc import Mapping

from objectives.config import LOSS_TERMS
from objectives.errors import Problem
from spaces.domains import Domain, Fixed, Weight
from spaces.source import Source
from spaces.values import Scalar, Value, shown

TERM_PATHS = tuple(f"loss.{term}" for term in LOSS_TERMS)
LOWEST_WEIGHT = 0.05  # of a term that is on, where the largest possible is 1
_TOLERANCE = 1e-6  # the config's own, on the sum


def check_simplex(domains: Mapping[str, Domain], own: frozenset[str]) -> list[Problem]:
    """What is wrong with the terms' domains taken together; ``own`` are the paths that the user gave."""
    rest, free = _rest(domains), _free(domains)
    fixed = ", ".join(f"{path} {_fixed(domains, path):g}" for path in TERM_PATHS if path not in free)
    if rest < -_TOLERANCE:
        return [Problem("loss", "the fixed weights of its terms must add up to at most 1", fixed)]
    if rest > _TOLERANCE and not free:
        return [Problem("loss", "the weights of its terms must add up to 1 or leave one term free", fixed)]
    starved = [path for path, weight in free.items() if rest <= _TOLERANCE and (path in own or not weight.optional)]
    return [Problem(path, "needs a share of the loss, but the fixed terms leave none", fixed) for path in starved]


def settle_simplex(domains: Mapping[str, Domain]) -> dict[str, Domain]:
    """The terms' domains with everything fixed that is no longer free: nothing is left, or one term takes it all."""
    rest, free = _rest(domains), _free(domains)
    settled = {path: domains[path] for path in TERM_PATHS}
    if rest <= _TOLERANCE:
        settled |= {path: Fixed(0.0) for path in free}
    elif len(free) == 1:
        settled |= {path: Fixed(round(rest, 12)) for path in free}
    return settled


def draw_weights(domains: Mapping[str, Domain], source: Source) -> dict[str, Value]:
    """The weight of each term by path."""
    free = _free(domains)
    active = [path for path, weight in free.items() if not weight.optional or source.choice(f"{path}.on", (True, False))]
    active = active or list(free)[:1]
    if len(active) < 2:
        return _shares(domains, dict.fromkeys(active, 1.0))
    return _shares(domains, {path: source.float(f"{path}.weight", LOWEST_WEIGHT, 1.0) for path in active})


def nearest_weights(domains: Mapping[str, Domain], wishes: Mapping[str, float]) -> dict[str, Value]:
    """The weights closest to the wished ones: wishes for free terms are scaled to the share that is left."""
    free = _free(domains)
    wished = {path: wishes[path] for path in free if wishes[path] > 0}
    if not wished and free:
        wished = {next((path for path, weight in free.items() if not weight.optional), next(iter(free))): 1.0}
    largest = max(wished.values(), default=1.0)
    relative = {path: max(weight / largest, LOWEST_WEIGHT) for path, weight in wished.items()}
    relative |= {path: LOWEST_WEIGHT for path, weight in free.items() if not weight.optional and path not in relative}
    return _shares(domains, relative)


def encode_weights(domains: Mapping[str, Domain], values: Mapping[str, Value]) -> tuple[dict[str, Scalar], list[Problem]]:
    """The parameters that give these weights, and why they cannot be drawn."""
    free = _free(domains)
    problems = [
        Problem(path, f"is fixed at {_fixed(domains, path):g} in this space", shown(values[path]))
        for path in TERM_PATHS
        if path not in free and abs(float(values[path]) - _fixed(domains, path)) > _TOLERANCE  # type: ignore[arg-type]
    ]
    weights = {path: float(values[path]) for path in free}  # type: ignore[arg-type]
    largest = max(weights.values(), default=1.0)
    params: dict[str, Scalar] = {f"{path}.on": weights[path] > 0 for path, weight in free.items() if weight.optional}
    active = [path for path, weight in free.items() if weights[path] > 0 or not weight.optional]
    for path in active if len(active) > 1 else []:
        relative = weights[path] / largest if largest > 0 else 0.0
        params[f"{path}.weight"] = max(relative, LOWEST_WEIGHT)
        if relative < LOWEST_WEIGHT * (1 - 1e-9):
            off = "0 or " if free[path].optional else ""
            rule = f"must be {off}at least {LOWEST_WEIGHT:g} times the largest free weight ({largest:g})"
            problems.append(Problem(path, rule, shown(values[path])))
    return params, problems


def _shares(domains: Mapping[str, Domain], relative: Mapping[str, float]) -> dict[str, Value]:
    """Weights by path: fixed ones as they are, the rest divided in proportion to ``relative``."""
    rest, total = _rest(domains), sum(relative.values())
    free = _free(domains)
    return {path: rest * (relative.get(path, 0.0) / total) if path in free else _fixed(domains, path) for path in TERM_PATHS}


def _free(domains: Mapping[str, Domain]) -> dict[str, Weight]:
    return {path: domain for path in TERM_PATHS if isinstance(domain := domains[path], Weight)}


def _fixed(domains: Mapping[str, Domain], path: str) -> float:
    domain = domains[path]
    assert isinstance(domain, Fixed)
    return float(domain.value)  # type: ignore[arg-type]


def _rest(domains: Mapping[str, Domain]) -> float:
    free = _free(domains)
    return 1.0 - sum(_fixed(domains, path) for path in TERM_PATHS if path not in free)
