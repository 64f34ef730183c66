"""A space: which values each field of the config may take, and the way from a trial's parameters to
its config and back.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from objectives.config import NO_WEIGHTS, WEIGHTS, Config, GivenWeights, Startable
from objectives.errors import Problem, ProblemsError
from spaces.domains import Domain, Fixed, Weight, options_of
from spaces.fields.conditions import conditions_of, is_always_met, is_read
from spaces.fields.foreign import foreign_of
from spaces.fields.schema import FIXED_PER_STUDY, TRAIN, Leaf, flatten, leaves, leaves_by_path
from spaces.fields.simplex import draw_weights, encode_weights, simplices
from spaces.fields.walk import can_exist, fill, governor_domains, named_domain
from spaces.pruning import PRUNING_BY_DEFAULT, UNSTATED_PRUNING, NoPruning, Pruning
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
    ``weights`` are those that its study was given, whose names ``model.weights`` may have; a space
    of no study yet has none, and draws the names alone.
    """

    domains: Mapping[str, Domain]
    control: Mapping[str, Scalar]
    pruning: Pruning = PRUNING_BY_DEFAULT
    recipes: tuple[str, ...] = ()
    sampler: Sampler = SAMPLER_BY_DEFAULT
    steps: tuple[Mapping[str, Scalar], ...] = ()
    weights: tuple[GivenWeights, ...] = ()

    def draw(self, source: ValueSource) -> Config:
        """Return the config that the source's answers describe; questions and their order depend on
        earlier answers alone.
        """
        return self._with_start(
            fill(
                self.domains,
                lambda leaf, name, domain: domain.draw(name, source),
                lambda simplex: draw_weights(simplex, self.domains, source),
                self._reads,
            )
        )

    def _reads(self, leaf: Leaf, values: Mapping[str, Value]) -> bool:
        """Return whether a config reads a field: of given weights one that has some that fit it."""
        if leaf.path == WEIGHTS and self.weights:
            return any(given.fit(values) for given in self.weights)
        return is_read(leaf, values)

    def _with_start(self, config: Config) -> Config:
        """Return the config with what the name of its weights means in this space's study."""
        model = config.model
        if not isinstance(model, Startable) or model.weights == NO_WEIGHTS:
            return config
        values = flatten(config)
        for given in self.weights:
            if given.name == model.weights and given.fit(values):
                started = model.model_copy(update={"start": given.start})
                return config.model_copy(update={"model": started})
        return config

    def default(self) -> Config:
        """Return the control: the configuration that every study tries first."""
        return self.draw(FromParams(self.control))

    def paced(self, config: Config) -> Config:
        """Return the config with this space's epochs and steps, which are the same for all trials
        of a study.
        """
        pace = {
            path.removeprefix(TRAIN): domain.value
            for path in FIXED_PER_STUDY
            if isinstance(domain := self.domains[path], Fixed)
        }
        return config.model_copy(update={"train": config.train.model_copy(update=pace)})

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
            if named is None or leaf.is_share or not leaf.exists(values):
                # without a domain, its variant lies outside: the problem is named at the kind
                continue
            name, domain = named
            if not self._reads(leaf, values):
                problems += _unfit_weights(leaf, values[leaf.path])
                continue
            assert not isinstance(domain, Weight)
            if not domain.holds(values[leaf.path]):
                problems.append(_outside(leaf, domain, shown(values[leaf.path])))
            elif not isinstance(domain, Fixed):
                params[name] = token(values[leaf.path])
        problems += self._other_weights(config)
        if problems:
            raise ProblemsError("config outside the space", problems)
        return params

    def _other_weights(self, config: Config) -> list[Problem]:
        """Return the problem of a config of another study, where the name of its weights meant
        others.
        """
        model = config.model
        ours = self._with_start(config).model
        if not isinstance(model, Startable) or not isinstance(ours, Startable):
            return []
        if model.start is None or not self.weights or ours.start == model.start:
            return []
        return [
            Problem(WEIGHTS, f"must be the same weights as {model.weights} of this space", "others")
        ]

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
                if path not in foreign.unused and not _is_unsaid(path, domain)
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
        if self.weights:
            stored["weights"] = [given.model_dump(mode="json") for given in self.weights]
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
            if any(kind not in named for kind in options_of(self.domains[kind_path]))
        ]
        return ", ".join([*conditions, *self._conditions_of_value(users)])

    def _conditions_of_value(self, users: list[Leaf]) -> list[str]:
        """Return what other fields must be for these leaves to be read; of a variant only, where
        not all of them depend on it.
        """
        variants: dict[str, list[str]] = {}
        pairs = [(leaf, condition) for leaf in users for condition in conditions_of(leaf)]
        for leaf, condition in pairs:
            governors = governor_domains(leaf, condition, self.domains)
            if any(each and not is_always_met(condition, each) for each in governors):
                variants.setdefault(str(condition), []).append(
                    leaf.when[-1][1] if leaf.when else ""
                )
        return [
            text if len(named) == len(users) else f"{text} (in {' and '.join(named)})"
            for text, named in variants.items()
        ]


def unpruned(space: Space) -> Space:
    """Return the space of a study that trains configs of this one again, each to its end."""
    return Space(space.domains, space.control, NoPruning(), weights=space.weights)


def _is_unsaid(path: str, domain: Domain) -> bool:
    """Return whether this is a later field at its default, which earlier versions did not store."""
    return isinstance(domain, Fixed) and all(
        leaf.is_later and domain.value == leaf.default for leaf in leaves_by_path()[path]
    )


def _unfit_weights(leaf: Leaf, value: Value) -> list[Problem]:
    if leaf.path != WEIGHTS or value == NO_WEIGHTS:
        return []
    rule = f"must be {NO_WEIGHTS} here, since no given weights fit the rest of the model"
    return [Problem(leaf.path, rule, shown(value))]


def _outside(leaf: Leaf, domain: Domain, value: str) -> Problem:
    rule = (
        f"is fixed at {domain} in this space"
        if isinstance(domain, Fixed)
        else f"must lie in {domain}"
    )
    return Problem(leaf.path, rule, value)
