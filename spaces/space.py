"""A space: which values each field of the config may take, and the way from a trial's parameters to
its config and back.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from objectives.config import Config
from objectives.errors import Problem, ProblemsError
from spaces.domains import Choice, Domain, Fixed, Weight
from spaces.fields.conditions import conditions_of, is_always_met, is_read
from spaces.fields.foreign import foreign_of
from spaces.fields.schema import FIXED_PER_STUDY, Leaf, build, flatten, leaves, leaves_by_path
from spaces.fields.simplex import draw_weights, encode_weights, simplices
from spaces.fields.walk import can_exist, fill, governor_domain, named_domain
from spaces.pruning import PRUNING_BY_DEFAULT, UNSTATED_PRUNING, Pruning
from spaces.sampler import SAMPLER_BY_DEFAULT, UNSTATED_SAMPLER, Sampler
from spaces.source import FromParams, ValueSource
from spaces.values import Scalar, Value, shown, token


@dataclass(frozen=True)
class Row:
    """One line of ``search space show``: a field, what it may be, and when it exists (empty:
    always).
    """

    path: str
    domain: str
    condition: str


@dataclass(frozen=True)
class Space:
    """A checked space: a domain for every field that some draw reaches, and the parameters of the
    control.

    Made by ``load_space`` or ``load_stored_space``, which check it. ``domains`` is keyed by field
    path. ``pruning``, ``recipes`` and ``sampler`` are how a study of this space ends trials early,
    what it tries right after the control, as it was written, and who draws the rest. ``steps`` are
    the parameters of configs a little off the control, which it tries where it has no recipes.
    """

    domains: Mapping[str, Domain]
    control: Mapping[str, Scalar]
    pruning: Pruning = PRUNING_BY_DEFAULT
    recipes: tuple[str, ...] = ()
    sampler: Sampler = SAMPLER_BY_DEFAULT
    steps: tuple[Mapping[str, Scalar], ...] = ()

    def draw(self, source: ValueSource) -> Config:
        """Return the config that the source's answers describe; questions and their order depend on
        earlier answers alone.
        """
        return fill(
            self.domains,
            lambda leaf, name, domain: domain.draw(name, source),
            lambda simplex: draw_weights(simplex, self.domains, source),
        )

    def default(self) -> Config:
        """Return the control: the configuration that every study tries first."""
        return self.draw(FromParams(self.control))

    def paced(self, config: Config) -> Config:
        """Return the config with this space's epochs and steps, which are the same for all trials
        of a study.
        """
        pace: dict[str, Value] = {
            path: domain.value
            for path in FIXED_PER_STUDY
            if isinstance(domain := self.domains[path], Fixed)
        }
        return build(flatten(config) | pace)

    def encode(self, config: Config) -> dict[str, Scalar]:
        """Return the parameters from which ``draw`` makes this config; fields that it does not read
        may differ.

        Raises:
            ProblemsError: It lies outside the space; every path is named.
        """
        values = flatten(config)
        params: dict[str, Scalar] = {}
        problems: list[Problem] = []
        for simplex in simplices():
            if all(path in self.domains and path in values for path in simplex.paths):
                weights, more = encode_weights(simplex, self.domains, values)
                params, problems = params | weights, problems + more
        for leaf in leaves():
            named = named_domain(self.domains, leaf)
            if (
                named is None
                or leaf.is_share
                or not leaf.exists(values)
                or not is_read(leaf, values)
            ):
                # without a domain, its variant lies outside: the problem is named at the kind
                continue
            name, domain = named
            assert not isinstance(domain, Weight)
            if not domain.holds(values[leaf.path]):
                problems.append(_outside(leaf, domain, shown(values[leaf.path])))
            elif not isinstance(domain, Fixed):
                params[name] = token(values[leaf.path])
        if problems:
            raise ProblemsError("config outside the space", problems)
        return params

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON of ``to_dict``: equal for equal spaces, on every
        machine.
        """
        canonical = json.dumps(
            self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> dict[str, object]:
        """Return the whole space as JSON values, the form that a study stores."""
        foreign = foreign_of(self.domains)
        stored: dict[str, object] = {
            "domains": {
                path: domain.to_yaml()
                for path, domain in self.domains.items()
                if path not in foreign.unused
            },
            "control": dict(self.control),
        }
        # what was ever so stays unsaid, so that spaces stored by earlier versions keep their form
        if self.pruning != UNSTATED_PRUNING:
            stored["pruning"] = self.pruning.model_dump()
        if self.recipes:
            stored["recipes"] = list(self.recipes)
        if self.sampler != UNSTATED_SAMPLER:
            stored["sampler"] = self.sampler.value
        if self.steps:
            stored["steps"] = [dict(step) for step in self.steps]
        if foreign.packages:
            stored["foreign"] = dict(foreign.packages)
        return stored

    def describe(self) -> tuple[Row, ...]:
        """Return a row for each domain, in the order of the config's fields."""
        order = {path: number for number, path in enumerate(leaves_by_path())}
        paths = sorted(self.domains, key=order.__getitem__)
        return tuple(Row(path, str(self.domains[path]), self._condition(path)) for path in paths)

    def _condition(self, path: str) -> str:
        users = [leaf for leaf in leaves_by_path()[path] if can_exist(leaf, self.domains)]
        users = [
            leaf
            for leaf in users
            if (entry := named_domain(self.domains, leaf)) and entry[0] == path
        ]
        kinds: dict[str, list[str]] = {}
        for kind_path, kind in dict.fromkeys(pair for leaf in users for pair in leaf.when):
            kinds.setdefault(kind_path, []).append(kind)
        conditions = [
            f"{kind_path} is {' or '.join(named)}"
            for kind_path, named in kinds.items()
            if any(kind not in named for kind in _options(self.domains[kind_path]))
        ]
        return ", ".join([*conditions, *self._conditions_of_value(users)])

    def _conditions_of_value(self, users: list[Leaf]) -> list[str]:
        """Return what other fields must be for these leaves to be read; of a variant only, where
        not all of them depend on it.
        """
        variants: dict[str, list[str]] = {}
        pairs = [(leaf, condition) for leaf in users for condition in conditions_of(leaf)]
        for leaf, condition in pairs:
            governor = governor_domain(leaf, condition, self.domains)
            if governor and not is_always_met(condition, governor):
                variants.setdefault(str(condition), []).append(
                    leaf.when[-1][1] if leaf.when else ""
                )
        return [
            text if len(named) == len(users) else f"{text} (in {' and '.join(named)})"
            for text, named in variants.items()
        ]


def _options(domain: Domain) -> tuple[object, ...]:
    return (
        domain.options
        if isinstance(domain, Choice)
        else (domain.value,)
        if isinstance(domain, Fixed)
        else ()
    )


def _outside(leaf: Leaf, domain: Domain, value: str) -> Problem:
    rule = (
        f"is fixed at {domain} in this space"
        if isinstance(domain, Fixed)
        else f"must lie in {domain}"
    )
    return Problem(leaf.path, rule, value)
