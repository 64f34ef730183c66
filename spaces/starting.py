"""What of a space goes with the weights that its study is given: which networks can start from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from objectives.config import NO_WEIGHTS, WEIGHTS, GivenWeights
from objectives.errors import Problem, ProblemsError, listed
from spaces.domains import Domain, options_of
from spaces.fields.schema import Leaf, leaves_by_path
from spaces.fields.walk import allows, can_exist, named_domain
from spaces.fitting import steps_inside
from spaces.space import Space
from spaces.values import Scalar, shown


def fit_weights(space: Space, given: Sequence[GivenWeights]) -> Space:
    """Return the space of a study that is given these weights, as far as the space names them.

    Raises:
        ProblemsError: It names others, or has no networks that could start from them, or its
            control cannot.
    """
    families = [*_families(space)]
    problems = [problem for family in families for problem in family.problems(given)]
    if problems:
        raise ProblemsError("weights", list(dict.fromkeys(problems)))
    used = tuple(each for each in given if any(each.name in family.names for family in families))
    if not used:
        return space
    fitted = replace(space, weights=used, control={}, steps=())
    try:
        control = fitted.encode(space.default())
    except ProblemsError as error:
        raise ProblemsError("the space's control", error.problems) from error
    return replace(fitted, control=control, steps=steps_inside(fitted, space))


def unnamed_weights(space: Space, given: Sequence[GivenWeights]) -> list[str]:
    """Return the names of weights that no network of a space may start from."""
    wanted = {name for family in _families(space) for name in family.names}
    return [name for name in dict.fromkeys(each.name for each in given) if name not in wanted]


def _families(space: Space) -> Iterator["_Family"]:
    for leaf in leaves_by_path()[WEIGHTS]:
        if can_exist(leaf, space.domains) and (named := named_domain(space.domains, leaf)):
            yield _Family(space.domains, leaf, *named)


@dataclass(frozen=True)
class _Family:
    """One family of networks of a space, and the weights that it may start from."""

    domains: Mapping[str, Domain]
    leaf: Leaf
    path: str  # under which its weights are drawn
    domain: Domain

    @property
    def names(self) -> list[str]:
        return [str(option) for option in options_of(self.domain) if option != NO_WEIGHTS]

    def problems(self, given: Sequence[GivenWeights]) -> Iterator[Problem]:
        there = dict.fromkeys(each.name for each in given)
        if unknown := [name for name in self.names if name not in there]:
            rule = (
                f"must be {NO_WEIGHTS}, or given with --weights (given: {listed(there) or 'none'})"
            )
            yield Problem(self.path, rule, listed(unknown))
            return
        fits = {name: self._fits(name, given) for name in self.names}
        networks = [sorted(map(sorted, each)) for each in fits.values()]
        if any(each != networks[0] for each in networks):
            rule = (
                "must all be for the same networks: give those for several encoders one name "
                "(--weights NAME=FILE), and name those of a family under its own path, like "
                "model.smp.weights"
            )
            yield Problem(self.path, rule, listed(self.names))
            return
        for name, needs in fits.items():
            yield from self._unreachable(name, needs)
        if fits and NO_WEIGHTS not in options_of(self.domain):
            yield from self._without(next(iter(fits.values())))

    def _fits(
        self, name: str, given: Sequence[GivenWeights]
    ) -> list[frozenset[tuple[str, Scalar]]]:
        """Return which values of this family's fields each of the weights of a name is for."""
        kinds = dict(self.leaf.when)
        return [
            frozenset(item for item in each.fits.items() if item[0] not in kinds)
            for each in given
            if each.name == name
            and all(each.fits.get(path) == kind for path, kind in self.leaf.when)
        ]

    def _unreachable(
        self, name: str, needs: Sequence[frozenset[tuple[str, Scalar]]]
    ) -> Iterator[Problem]:
        """Yield why no network of the space is one that the weights are for."""
        shut = [[*self._shut(need)] for need in needs]
        if shut and all(shut):
            field, value = shut[0][0]
            rule = f"must allow {shown(value)}, which is what the weights {name} are for"
            yield Problem(field, rule, str(self._domain_of(field)))

    def _shut(self, need: frozenset[tuple[str, Scalar]]) -> Iterator[tuple[str, Scalar]]:
        for field, value in sorted(need):
            domain = self._domain_of(field)
            if domain is not None and not allows(domain, value):
                yield field, value

    def _without(self, needs: Sequence[frozenset[tuple[str, Scalar]]]) -> Iterator[Problem]:
        """Yield which networks of the space could not start from any of the weights, where all
        must.
        """
        allowed: dict[str, set[Scalar]] = {}
        for field, value in (pair for need in needs for pair in need):
            allowed.setdefault(field, set()).add(value)
        open_fields = [
            field
            for field, values in sorted(allowed.items())
            if (domain := self._domain_of(field)) is not None
            and not (options_of(domain) and set(options_of(domain)) <= values)
        ]
        if not needs:
            rule = f"must allow {NO_WEIGHTS}, since these weights are for networks of another kind"
            yield Problem(self.path, rule, str(self.domain))
        for field in open_fields:
            values = ", ".join(sorted(map(shown, allowed[field])))
            rule = f"must be {values} alone where all networks start from {', '.join(self.names)}"
            yield Problem(field, rule, str(self._domain_of(field)))

    def _domain_of(self, field: str) -> Domain | None:
        for leaf in leaves_by_path()[field]:
            if set(leaf.when) <= set(self.leaf.when):
                named = named_domain(self.domains, leaf)
                return named[1] if named else None
        return None
