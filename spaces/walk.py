"""The walk over the config's leaves that drawing, encoding and showing a space have in common."""

from collections.abc import Callable, Mapping
from typing import assert_never

from objectives.config import Config
from spaces.domains import Choice, Domain, Drawn, Fixed, Float, Int, Weight
from spaces.schema import Leaf, build, leaves
from spaces.simplex import TERM_PATHS
from spaces.values import Value

# A field that is read only when another one is above 0 is not drawn otherwise. Unions state all other conditions.
READ_WHEN_POSITIVE: Mapping[str, str] = {
    "loss.focal_gamma": "loss.focal",
    "augment.flip": "augment.intensity",
    "augment.geometry": "augment.intensity",
    "augment.elastic": "augment.intensity",
    "augment.photometric": "augment.intensity",
}


def named_domain(domains: Mapping[str, Domain], leaf: Leaf) -> tuple[str, Domain] | None:
    """The domain of a leaf and the name under which it is drawn; a variant's own domain wins over a shared one."""
    for name in (leaf.own_path, leaf.path):
        if name in domains:
            return name, domains[name]
    return None


def is_read(leaf: Leaf, values: Mapping[str, Value]) -> bool:
    """Whether a config with these values reads the leaf at all."""
    governor = READ_WHEN_POSITIVE.get(leaf.path)
    return governor is None or values[governor] != 0


def can_exist(leaf: Leaf, domains: Mapping[str, Domain]) -> bool:
    """Whether some draw has the leaf; a kind that ``domains`` does not name counts as open."""
    return all(path not in domains or allows(domains[path], kind) for path, kind in leaf.when)


def can_be_read(leaf: Leaf, domains: Mapping[str, Domain]) -> bool:
    """Whether some draw reads the leaf, as far as other fields decide: False when they are fixed at 0."""
    governor = domains.get(READ_WHEN_POSITIVE.get(leaf.path, ""))
    return not (isinstance(governor, Fixed) and governor.value == 0)


def allows(domain: Domain, value: Value) -> bool:
    """Whether a domain that is drawn by itself holds the value."""
    return not isinstance(domain, Weight) and domain.holds(value)


def fill(
    domains: Mapping[str, Domain], pick: Callable[[Leaf, str, Drawn], Value], weigh: Callable[[], Mapping[str, Value]]
) -> Config:
    """A config of the space: ``pick`` decides each field that is drawn by itself, ``weigh`` the loss weights together."""
    values: dict[str, Value] = {}
    for leaf in leaves():
        if leaf.path in values or not leaf.exists(values):
            continue
        found = named_domain(domains, leaf)
        assert found is not None, f"{leaf.path} has no domain"
        name, domain = found
        match domain:
            case _ if leaf.path in TERM_PATHS:
                values |= weigh()
            case Fixed(value):
                values[leaf.path] = value
            case Int() | Float() | Choice():
                values[leaf.path] = pick(leaf, name, domain) if is_read(leaf, values) else domain.nearest(leaf.default)
            case Weight():
                raise AssertionError(f"{leaf.path} is no loss term")
            case _:
                assert_never(domain)
    return build(values)
