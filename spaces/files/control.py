"""The control of a space: what the presets and the user wish it to be, moved into the space where
it is narrower.
"""

from collections.abc import Mapping, Sequence

from objectives.errors import Problem
from spaces.domains import Domain
from spaces.fields.conditions import is_read
from spaces.fields.schema import Leaf, flatten, leaves, leaves_by_path
from spaces.fields.simplex import Simplex, nearest_weights
from spaces.fields.walk import fill, named_domain
from spaces.files.layer import Layer, merge
from spaces.space import Space
from spaces.values import Scalar, Value, plain, shown


def check_control(layer: Layer) -> list[Problem]:
    """Problems of a layer's control values with the bounds of their fields."""
    return [
        Problem(f"control.{path}", rules[0], shown(plain(value)))
        for path, value in layer.control.items()
        if all(rules := [leaf.broken_rule(value) or "" for leaf in leaves_by_path()[path]])
    ]


def choose_control(
    domains: Mapping[str, Domain], layers: Sequence[Layer]
) -> tuple[dict[str, Scalar], list[Problem]]:
    """Return the parameters of the control, and what the last layer wishes in vain: earlier ones
    may lie outside, it may not.
    """
    wishes: dict[str, Value] = {}
    for layer in layers:
        wishes = merge(wishes, layer.control)
    config = fill(
        domains,
        lambda leaf, name, domain: domain.nearest(_wish(leaf, wishes)),
        lambda simplex: nearest_weights(simplex, domains, _wished_weights(simplex, wishes)),
    )
    values = flatten(config)
    vain = [
        Problem(
            f"control.{path}",
            f"must lie in the space ({_allowed(path, domains)})",
            shown(plain(value)),
        )
        for path, value in layers[-1].control.items()
        if _is_vain(path, value, values)
    ]
    return Space(domains, {}).encode(config), vain


def _wish(leaf: Leaf, wishes: Mapping[str, Value]) -> Value | None:
    """Return what the control should have here; where another variant is wished, this one has its
    own defaults.
    """
    if leaf.own_path in wishes:
        return wishes[leaf.own_path]
    meant = all(wishes.get(kind_path, kind) == kind for kind_path, kind in leaf.when)
    return wishes.get(leaf.path, leaf.default) if meant else leaf.default


def _wished_weights(simplex: Simplex, wishes: Mapping[str, Value]) -> dict[str, float]:
    given = {path: float(wishes[path]) for path in simplex.paths if path in wishes}  # type: ignore[arg-type]
    defaults = {path: float(leaves_by_path()[path][0].default or 0.0) for path in simplex.paths}  # type: ignore[arg-type]
    return {path: given.get(path, 0.0) for path in simplex.paths} if given else defaults


def _is_vain(path: str, wished: Value, values: Mapping[str, Value]) -> bool:
    for leaf in leaves_by_path()[path]:
        if leaf.exists(values):
            differs = values[leaf.path] != wished
            if leaf.is_share:
                differs = abs(float(values[path]) - float(wished)) > 1e-6  # type: ignore[arg-type]
            return differs and is_read(leaf, values)
    # one variant's own wish may wait for its variant
    return path in {leaf.path for leaf in leaves()}


def _allowed(path: str, domains: Mapping[str, Domain]) -> str:
    for leaf in leaves_by_path()[path]:
        if named := named_domain(domains, leaf):
            return f"{path}: {named[1]}"
    return f"which has no {path}"
