"""From layers to the domains of a space: merged, checked against the config's own bounds, and
complete.
"""

from collections.abc import Iterator, Mapping, Sequence

from objectives.config import WEIGHTS
from objectives.errors import Problem
from spaces.domains import Choice, Domain, Fixed, Float, Int, Weight
from spaces.fields.schema import Leaf, leaves, leaves_by_path
from spaces.fields.simplex import check_simplex, settle_simplex, simplices
from spaces.fields.walk import can_be_read, can_exist, named_domain
from spaces.files.layer import Layer, merge
from spaces.values import Value, plain, shown


def resolve_domains(
    layers: Sequence[Layer], own: frozenset[str]
) -> tuple[dict[str, Domain], list[Problem]]:
    """Return a domain for every leaf that some draw has, and every problem; ``own`` are the paths
    that must have an effect.

    Entries that no draw reaches are dropped, and what no layer names is fixed at the config's
    default.
    """
    merged: dict[str, Domain] = {}
    for layer in layers:
        merged = merge(merged, layer.domains)
    merged = {
        leaf.path: Fixed(leaf.default)
        for leaf in leaves()
        if _is_basic(leaf) and leaf.default is not None
    } | merged
    problems = _unfit(merged)
    unsound = {problem.where for problem in problems}
    for simplex in simplices():
        if can_exist(simplex, merged) and unsound.isdisjoint(simplex.paths):
            problems += check_simplex(simplex, merged, own)
            merged |= settle_simplex(simplex, merged)
    problems += _without_effect(merged, own)
    domains, missing = _complete(merged)
    return domains, problems + missing


def _is_basic(leaf: Leaf) -> bool:
    """Return whether other leaves are judged by this one: a kind, a loss weight or given weights, so
    that its default must be known first.
    """
    return leaf.path.endswith(".kind") or leaf.is_share or leaf.path == WEIGHTS


def _unfit(merged: dict[str, Domain]) -> list[Problem]:
    """Problems of domains with the bounds of their fields; takes those domains out of ``merged``, and
    judges the ones that then stand for their fields, too.
    """
    found = _unfit_at_first(merged)
    return found and found + _unfit(merged)


def _unfit_at_first(merged: dict[str, Domain]) -> list[Problem]:
    problems: dict[tuple[str, str], Problem] = {}
    broken: set[str] = set()
    for leaf in leaves():
        named = named_domain(merged, leaf)
        if named is None or not can_exist(leaf, merged):
            continue
        name, domain = named
        for rule, value in _broken_rules(leaf, domain):
            problems[name, rule] = Problem(name, rule, shown(plain(value)))
            broken.add(name)
        if name in broken and name.endswith(".kind"):
            # an unknown kind must not make the fields of its variants look out of place
            del merged[name]
    for name in broken & merged.keys():
        del merged[name]
    return list(problems.values())


def _broken_rules(leaf: Leaf, domain: Domain) -> Iterator[tuple[str, Value]]:
    match domain:
        case Fixed(value):
            tried: tuple[Value, ...] = (value,)
        case Choice(options):
            tried = options
        case Int(low, high) | Float(low, high):
            kind = int if isinstance(domain, Int) else float
            if leaf.annotation is not kind:
                yield (
                    f"must not be a range of {kind.__name__}, since its type is {_type_name(leaf)}",
                    str(domain),
                )
                return
            tried = (low, high)
        case Weight():
            tried = ()
    for value in tried:
        if rule := leaf.broken_rule(value):
            yield rule, value


def _type_name(leaf: Leaf) -> str:
    if isinstance(leaf.annotation, type) and not hasattr(leaf.annotation, "__args__"):
        return leaf.annotation.__name__
    return "a choice" if "Literal" in str(leaf.annotation) else "a list"


def _without_effect(domains: Mapping[str, Domain], own: frozenset[str]) -> list[Problem]:
    problems = []
    for path in sorted(own & domains.keys()):
        users = leaves_by_path()[path]
        existing = [leaf for leaf in users if can_exist(leaf, domains)]
        if not existing:
            kinds = " or ".join(
                dict.fromkeys(
                    f"{kind_path} is {kind}" for leaf in users for kind_path, kind in leaf.when
                )
            )
            problems.append(
                Problem(
                    path,
                    f"exists only where {kinds}, which this space excludes",
                    str(domains[path]),
                )
            )
        elif not isinstance(domains[path], Fixed) and not any(
            can_be_read(leaf, domains) for leaf in existing
        ):
            problems.append(
                Problem(
                    path,
                    "must be a plain value, since this space never reads it",
                    str(domains[path]),
                )
            )
    return problems


def _complete(merged: Mapping[str, Domain]) -> tuple[dict[str, Domain], list[Problem]]:
    """Return the domains that some draw uses, as the config types their values, and those that only
    the defaults give.
    """
    users: dict[str, list[Leaf]] = {}
    unnamed: dict[str, list[Leaf]] = {}
    for leaf in leaves():
        if not can_exist(leaf, merged):
            continue
        if named := named_domain(merged, leaf):
            users.setdefault(named[0], []).append(leaf)
        else:
            unnamed.setdefault(leaf.path, []).append(leaf)
    domains = {name: _settled(variants, merged[name], merged) for name, variants in users.items()}
    problems: list[Problem] = []
    for path, variants in unnamed.items():
        shared = len({leaf.default for leaf in variants}) == 1
        for leaf in variants:
            if leaf.default is None and not all(kind_path in merged for kind_path, _ in leaf.when):
                continue  # its kind is broken, which is reported already
            if leaf.default is None:
                chosen = " and ".join(
                    f"{kind_path} may be '{kind}'" for kind_path, kind in leaf.when
                )
                problems.append(Problem(path, f"must be given, since {chosen}", "nothing"))
            else:
                domains[path if shared else leaf.own_path] = Fixed(leaf.default)
    return domains, problems


def _settled(users: Sequence[Leaf], domain: Domain, merged: Mapping[str, Domain]) -> Domain:
    """Return the domain as those leaves have it whose domain it is; fixed where none of them is
    ever read.
    """
    leaf = users[0]
    match domain:
        case Fixed(value):
            return Fixed(leaf.accept(value))
        case Choice() | Int() | Float() if not any(can_be_read(user, merged) for user in users):
            return Fixed(leaf.accept(domain.nearest(leaf.default)))
        case Choice(options):
            return Choice(tuple(leaf.accept(option) for option in options))
        case _:
            return domain
