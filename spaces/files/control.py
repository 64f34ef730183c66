"""The control of a space: what the presets and the user wish it to be, moved into the space where
it is narrower; and the steps from it.
"""

from collections.abc import Iterator, Mapping, Sequence

from objectives.errors import Problem
from spaces.domains import Domain
from spaces.fields.conditions import is_read
from spaces.fields.schema import Leaf, flatten, leaves, leaves_by_path
from spaces.fields.simplex import Simplex, nearest_weights, share_paths, simplices
from spaces.fields.walk import fill, named_domain
from spaces.files.layer import Layer, merge, step_path
from spaces.space import Space
from spaces.values import Scalar, Value, plain, shown

WHOLE = ", and a mixture's terms are given whole, with a sum of 1"


def check_control(layer: Layer) -> list[Problem]:
    """Problems of a layer's control values, and of its steps, with the bounds of their fields."""
    problems = list(_broken("control.", layer.control))
    for number, step in enumerate(layer.steps or (), start=1):
        problems += _broken(f"{step_path(number)}.", step)
    return problems


def _broken(where: str, wishes: Mapping[str, Value]) -> Iterator[Problem]:
    for path, value in wishes.items():
        if all(rules := [leaf.broken_rule(value) or "" for leaf in leaves_by_path()[path]]):
            yield Problem(f"{where}{path}", rules[0], shown(plain(value)))


def choose_control(
    domains: Mapping[str, Domain], layers: Sequence[Layer]
) -> tuple[dict[str, Scalar], list[Problem]]:
    """Return the parameters of the control, and what the last layer wishes in vain: earlier ones
    may lie outside, it may not.
    """
    return _nearest(domains, _wishes(layers), layers[-1].control, "control.")


def choose_steps(
    domains: Mapping[str, Domain], layers: Sequence[Layer], control: Mapping[str, Scalar]
) -> tuple[tuple[Mapping[str, Scalar], ...], list[Problem]]:
    """Return the parameters of the steps from the control that the last layer with some names, and
    what is wrong with them where that is the last layer of all. Those of an earlier one that lie
    outside the space, or change nothing in it, are left out.
    """
    named = [layer for layer in layers if layer.steps is not None]
    steps = named[-1].steps or () if named else ()
    found: list[Mapping[str, Scalar]] = []
    problems: list[Problem] = []
    for number, step in enumerate(steps, start=1):
        wishes = merge(_without_shares(_wishes(layers), step), step)
        params, vain = _nearest(domains, wishes, step, f"{step_path(number)}.")
        if not vain and params in [control, *found]:
            same = "the control" if params == control else f"step {found.index(params) + 1}"
            vain = [Problem(step_path(number), f"must differ from {same}", shown(_plain(step)))]
        if vain:
            problems += vain
        else:
            found.append(params)
    return tuple(found), problems if layers[-1].steps is not None else []


def _wishes(layers: Sequence[Layer]) -> dict[str, Value]:
    wishes: dict[str, Value] = {}
    for layer in layers:
        wishes = merge(wishes, layer.control)
    return wishes


def _without_shares(wishes: Mapping[str, Value], step: Mapping[str, Value]) -> dict[str, Value]:
    """Return the control's wishes without the shares of mixtures of which a step names one."""
    gone = {
        path
        for simplex in simplices()
        if not step.keys().isdisjoint(simplex.paths)
        for path in simplex.paths
    }
    return {path: value for path, value in wishes.items() if path not in gone}


def _plain(values: Mapping[str, Value]) -> dict[str, object]:
    return {path: plain(value) for path, value in values.items()}


def _nearest(
    domains: Mapping[str, Domain],
    wishes: Mapping[str, Value],
    own: Mapping[str, Value],
    where: str,
) -> tuple[dict[str, Scalar], list[Problem]]:
    """Return the parameters of the config of the space that is nearest to what is wished, and which
    of its ``own`` wishes are in vain.
    """
    config = fill(
        domains,
        lambda leaf, name, domain: domain.nearest(_wish(leaf, wishes)),
        lambda simplex: nearest_weights(simplex, domains, _wished_weights(simplex, wishes)),
    )
    values = flatten(config)
    vain = [
        Problem(
            f"{where}{path}",
            f"must lie in the space ({_allowed(path, domains)}){WHOLE if path in share_paths() else ''}",
            shown(plain(value)),
        )
        for path, value in own.items()
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
