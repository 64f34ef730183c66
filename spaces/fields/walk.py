"""The walk over the config's leaves that drawing, encoding and showing a space have in common."""

from collections.abc import Callable, Mapping
from typing import assert_never

from objectives.config import Config
from spaces.domains import Choice, Domain, Drawn, Fixed, Float, Int, Weight
from spaces.fields.conditions import Condition, can_be_met, conditions_of, is_read
from spaces.fields.schema import Leaf, build, leaves, leaves_by_path
from spaces.fields.simplex import Simplex, simplex_of
from spaces.values import Value


def named_domain(domains: Mapping[str, Domain], leaf: Leaf) -> tuple[str, Domain] | None:
    """Return the domain of a leaf and the name under which it is drawn; a variant's own domain wins
    over a shared one.
    """
    for name in (leaf.own_path, leaf.path):
        if name in domains:
            return name, domains[name]
    return None


def can_exist(part: Leaf | Simplex, domains: Mapping[str, Domain]) -> bool:
    """Return whether some draw has the leaf or the mixture; a kind that ``domains`` does not name
    counts as open.
    """
    return all(path not in domains or allows(domains[path], kind) for path, kind in part.when)


def can_be_read(leaf: Leaf, domains: Mapping[str, Domain]) -> bool:
    """Return whether some draw that has the leaf reads it, as far as the domains of its governors
    are known.
    """
    return all(
        any(
            governor is None or can_be_met(condition, governor)
            for governor in governor_domains(leaf, condition, domains)
        )
        for condition in conditions_of(leaf)
    )


def governor_domains(
    leaf: Leaf, condition: Condition, domains: Mapping[str, Domain]
) -> list[Domain | None]:
    """Return the domains of the fields that decide whether the leaf is read, of each variant that
    some draw may have beside the leaf; None for one that is not known yet.
    """
    governors = [
        governor
        for governor in leaves_by_path()[condition.governor]
        if can_exist(governor, domains) and _together(governor, leaf)
    ]
    return [
        named[1] if (named := named_domain(domains, governor)) else None for governor in governors
    ]


def _together(one: Leaf, other: Leaf) -> bool:
    """Return whether the variants of two leaves do not exclude each other."""
    kinds = dict(one.when)
    return all(kinds.get(path, kind) == kind for path, kind in other.when)


def allows(domain: Domain, value: Value) -> bool:
    """Return whether a domain that is drawn by itself holds the value."""
    return not isinstance(domain, Weight) and domain.holds(value)


def fill(
    domains: Mapping[str, Domain],
    pick: Callable[[Leaf, str, Drawn], Value],
    weigh: Callable[[Simplex], Mapping[str, Value]],
    reads: Callable[[Leaf, Mapping[str, Value]], bool] = is_read,
) -> Config:
    """Return a config of the space: ``pick`` decides each field that is drawn by itself, ``weigh``
    a mixture's weights together, ``reads`` whether a field is read beside the values so far.

    What nothing reads has its default, so that equal trainings are equal configs.
    """
    values: dict[str, Value] = {}
    for leaf in leaves():
        if leaf.path in values or not leaf.exists(values):
            continue
        named = named_domain(domains, leaf)
        assert named is not None, f"{leaf.path} has no domain"
        name, domain = named
        match domain:
            case _ if leaf.is_share:
                values |= weigh(simplex_of(leaf))
            case _ if not reads(leaf, values):
                assert leaf.default is not None, f"{leaf.path} has no default"
                values[leaf.path] = leaf.default
            case Fixed(value):
                values[leaf.path] = value
            case Int() | Float() | Choice():
                values[leaf.path] = pick(leaf, name, domain)
            case Weight():
                raise AssertionError(f"{leaf.path} is no loss term")
            case _:
                assert_never(domain)
    return build(values)
