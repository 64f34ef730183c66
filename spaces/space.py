"""A space: which values each field of the config may take, and the way from a trial's parameters to its config and back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from objectives.config import Config
from objectives.errors import Problem, ProblemsError
from spaces.domains import Choice, Domain, Fixed, Weight
from spaces.layer import read_layer
from spaces.resolve import resolve_domains
from spaces.schema import Leaf, flatten, leaves, leaves_by_path
from spaces.simplex import TERM_PATHS, draw_weights, encode_weights
from spaces.source import FromParams, Source
from spaces.values import Scalar, shown, token
from spaces.walk import READ_WHEN_POSITIVE, can_exist, fill, is_read, named_domain


@dataclass(frozen=True)
class Row:
    """One line of ``search space show``: a field, what it may be, and when it exists (empty: always)."""

    path: str
    domain: str
    condition: str


@dataclass(frozen=True)
class Space:
    """A checked space: a domain for every field that some draw reaches, and the parameters of the control.

    Made by ``load_space`` or ``from_dict``, which check it. ``domains`` is keyed by field path.
    """

    domains: Mapping[str, Domain]
    control: Mapping[str, Scalar]

    def draw(self, source: Source) -> Config:
        """The config that the source's answers describe; questions and their order depend on earlier answers alone."""
        return fill(
            self.domains, lambda leaf, name, domain: domain.draw(name, source), lambda: draw_weights(self.domains, source)
        )

    def default(self) -> Config:
        """The control: the configuration that every study tries first."""
        return self.draw(FromParams(self.control))

    def encode(self, config: Config) -> dict[str, Scalar]:
        """The parameters from which ``draw`` makes this config; fields that it does not read may differ.

        *Raises* ProblemsError: it lies outside the space; every path is named.
        """
        values = flatten(config)
        params, problems = encode_weights(self.domains, values)
        for leaf in leaves():
            found = named_domain(self.domains, leaf)
            if found is None or leaf.path in TERM_PATHS or not leaf.exists(values) or not is_read(leaf, values):
                continue  # without a domain, its variant lies outside: the problem is named at the kind
            name, domain = found
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
        """SHA-256 of the canonical JSON of ``to_dict``: equal for equal spaces, on every machine."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> dict[str, object]:
        """The whole space as JSON values, the form that a study stores."""
        return {
            "domains": {path: domain.to_yaml() for path, domain in self.domains.items()},
            "control": dict(self.control),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Self:
        """The space that was stored. *Raises* ProblemsError: it no longer fits the config of this version."""
        match stored:
            case {"domains": dict(written), "control": dict(control), **rest} if not rest:
                layer, problems = read_layer(written)
            case _:
                raise ProblemsError("stored space", [Problem("space", "must hold domains and control", shown(stored))])
        domains, unfit = resolve_domains([layer], own=frozenset())
        if problems or unfit:
            raise ProblemsError("stored space", [*problems, *unfit])
        space = cls(domains, control)
        space.default()  # raises when the control does not fit
        return space

    def describe(self) -> tuple[Row, ...]:
        """A row for each domain, in the order of the config's fields."""
        order = {path: number for number, path in enumerate(leaves_by_path())}
        paths = sorted(self.domains, key=order.__getitem__)
        return tuple(Row(path, str(self.domains[path]), self._condition(path)) for path in paths)

    def _condition(self, path: str) -> str:
        users = [leaf for leaf in leaves_by_path()[path] if can_exist(leaf, self.domains)]
        users = [leaf for leaf in users if (found := named_domain(self.domains, leaf)) and found[0] == path]
        kinds: dict[str, list[str]] = {}
        for kind_path, kind in dict.fromkeys(pair for leaf in users for pair in leaf.when):
            kinds.setdefault(kind_path, []).append(kind)
        told = [
            f"{kind_path} is {' or '.join(named)}"
            for kind_path, named in kinds.items()
            if any(kind not in named for kind in _options(self.domains[kind_path]))
        ]
        governor = READ_WHEN_POSITIVE.get(users[0].path)
        if governor and not isinstance(self.domains[governor], Fixed):
            told.append(f"{governor} > 0")
        return ", ".join(told)


def _options(domain: Domain) -> tuple[object, ...]:
    return domain.options if isinstance(domain, Choice) else (domain.value,) if isinstance(domain, Fixed) else ()


def _outside(leaf: Leaf, domain: Domain, value: str) -> Problem:
    rule = f"is fixed at {domain} in this space" if isinstance(domain, Fixed) else f"must lie in {domain}"
    return Problem(leaf.path, rule, value)
