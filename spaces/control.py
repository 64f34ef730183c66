"""The control of a space: what the presets and the user wish it to be, moved into the space where it is narrower."""

from collections.abc import Mapping, Sequence

from objectives.errors import Problem
from spaces.domains import Domain
from spaces.layer import Layer, merge
from spaces.schema import Leaf, flatten, leaves, leaves_by_path
from spaces.simplex import TERM_PATHS, nearest_weights
from spaces.space import Space
from spaces.values import Scalar, Value, plain, shown
from spaces.walk import fill, is_read, named_domain


def check_control(layer: Layer) -> list[Problem]:
    """Problems of a layer's control values with the bounds of their fields."""
    return [
        Problem(f"control.{path}", rules[0], shown(plain(value)))
        for path, value in layer.control.items()
        if all(rules := [leaf.broken_rule(value) or "" for leaf in leaves_by_path()[path]])
    ]


def choose_control(domains: Mapping[str, Domain], layers: Sequence[Layer]) -> tuple[dict[str, Scalar], list[Problem]]:
    """The parameters of the control, and what the last layer wishes in vain: earlier ones may lie outside, it may not."""
    wishes: dict[str, Value] = {}
    for layer in layers:
        wishes = merge(wishes, layer.control)
    config = fill(
        domains,
        lambda leaf, name, domain: domain.nearest(_wish(leaf, wishes)),
        lambda: nearest_weights(domains, _wished_weights(wishes)),
    )
    values = flatten(config)
    vain = [
        Problem(f"control.{path}", f"must lie in the space ({_allowed(path, domains)})", shown(plain(value)))
        for path, value in layers[-1].control.items()
        if _is_vain(path, value, values)
    ]
    return Space(domains, {}).encode(config), vain


def _wish(leaf: Leaf, wishes: Mapping[str, Value]) -> Value | None:
    """What the control should have here; where another variant is wished, this one has its own defaults."""
    if leaf.own_path in wishes:
        return wishes[leaf.own_path]
    meant = all(wishes.get(kind_path, kind) == kind for kind_path, kind in leaf.when)
    return wishes.get(leaf.path, leaf.default) if meant else leaf.default


def _wished_weights(wishes: Mapping[str, Value]) -> dict[str, float]:
    given = {path: float(wishes[path]) for path in TERM_PATHS if path in wishes}  # type: ignore[arg-type]
    defaults = {leaf.path: float(leaf.default or 0.0) for leaf in leaves() if leaf.path in TERM_PATHS}  # type: ignore[arg-type]
    return {path: given.get(path, 0.0) for path in TERM_PATHS} if given else defaults


def _is_vain(path: str, wished: Value, values: Mapping[str, Value]) -> bool:
    for leaf in leaves_by_path()[path]:
        if leaf.exists(values):
            differs = values[leaf.path] != wished
            if leaf.path in TERM_PATHS:
                differs = abs(float(values[path]) - float(wished)) > 1e-6  # type: ignore[arg-type]
            return differs and is_read(leaf, values)
    return path in {leaf.path for leaf in leaves()}  # one variant's own wish may wait for its variant


def _allowed(path: str, domains: Mapping[str, Domain]) -> str:
    for leaf in leaves_by_path()[path]:
        if found := named_domain(domains, leaf):
            return f"{path}: {found[1]}"
    return f"which has no {path}"
