"""Which parts of other packages a space uses, so that it says so, and those that it does not use
leave no trace in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from objectives.config.foreign import fields_of, foreign_parts
from spaces.domains import Choice, Domain, Fixed
from spaces.fields.simplex import simplices

MODEL = "model.kind"


@dataclass(frozen=True)
class ForeignParts:
    """What a space uses, each with its package and version, and the paths of what is here and that
    it does not use.
    """

    packages: Mapping[str, str]
    unused: frozenset[str]


def foreign_of(domains: Mapping[str, Domain]) -> ForeignParts:
    """Return the foreign networks and losses that some config of these domains has."""
    domain = domains.get(MODEL)
    kinds = (
        domain.options
        if isinstance(domain, Choice)
        else (domain.value,)
        if isinstance(domain, Fixed)
        else ()
    )
    packages = {
        f"networks.{name}": each.package
        for name, each in foreign_parts("networks").items()
        if name in kinds
    }
    unused: set[str] = set()
    for name, each in foreign_parts("losses").items():
        sections = [simplex.section for simplex in simplices()]
        unused |= {f"{section}.{field}" for section in sections for field in fields_of(name)}
        for section in sections:
            weight = domains.get(f"{section}.{name}", Fixed(0.0))
            if not (isinstance(weight, Fixed) and weight.value == 0):
                packages[f"losses.{name}"] = each.package
                unused -= {f"{section}.{field}" for field in fields_of(name)}
    return ForeignParts(packages, frozenset(unused))
