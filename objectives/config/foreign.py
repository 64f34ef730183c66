"""Networks, losses and scores that other installed packages bring, found by their entry points.

A package names a class in its metadata, which imports no torch before it is asked to build:

    [project.entry-points."segmentation_search.networks"]
    plain = "package.module:Plain"       # a ForeignNetwork whose ``kind`` is plain

    [project.entry-points."segmentation_search.losses"]
    logarithmic = "package.module:Logarithmic"       # a ForeignLoss

    [project.entry-points."segmentation_search.scores"]
    f2 = "package.module:F2"       # a ForeignScore

Spaces can then vary the fields of a network or loss like any other, ``--score f2`` makes the mean of
a score over the classes what trials are compared by, and the package's version is part of a space or
data set that uses it.
"""

import functools
import re
from abc import abstractmethod
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, ClassVar, Literal

from pydantic import SerializerFunctionWrapHandler, create_model, model_serializer

from objectives.config.parts import Argument, Frozen, ReadWhile, TermWeight
from objectives.errors import Problem, UserError, first_line

Kind = Literal["networks", "losses", "scores"]
NAME = re.compile("[a-z][a-z0-9_]{0,60}")


class Architecture(Frozen):
    """What every family of networks says of itself; its fields are what may vary."""

    sized_by: ClassVar[str] = "base_filters"  # the field that decides its size, where memory lacks

    @property
    def halvings(self) -> int:
        """How often it halves the frames, of which something must be left; 0: it says otherwise, or
        it does not.
        """
        return 0


class ForeignNetwork(Architecture):
    """A family of networks of another package, with ``kind: Literal["NAME"] = "NAME"`` as its entry
    point is called.
    """

    sized_by: ClassVar[str] = "kind"

    kind: str

    @abstractmethod
    def build(self, *, in_channels: int, num_classes: int) -> Any:
        """Return a torch module that maps images (B, C, H, W) of any size to logits (B, K, H, W),
        from torch's generator.
        """


class ForeignLoss(Frozen):
    """A loss of another package; its fields, floats with bounds, are its arguments."""

    @abstractmethod
    def compute(self, pixels: Any) -> Any:
        """Return the loss of a batch, a scalar, of an `objectives.losses.pixels.LabelledPixels`."""


class ForeignScore(Frozen):
    """A score of another package."""

    @abstractmethod
    def compute(self, hits: Any, true: Any, predicted: Any) -> Any:
        """Return a fraction in 0..1 for each class by itself, of which more is better: see
        `objectives.statistics.scores.Measure`.
        """


BASES: Mapping[Kind, type[Frozen]] = {
    "networks": ForeignNetwork,
    "losses": ForeignLoss,
    "scores": ForeignScore,
}


@dataclass(frozen=True)
class Foreign:
    """A class of another package, and which package that is."""

    package: str  # its name and version
    part: Any


@functools.cache
def foreign_parts(kind: Kind) -> Mapping[str, Foreign]:
    """Return what other packages bring of a kind, by name; loads all of it.

    Raises:
        UserError: A package brings what cannot be used.
    """
    return {name: foreign_part(kind, name) for name in _points(kind)}


@functools.cache
def foreign_part(kind: Kind, name: str) -> Foreign:
    """Return one part that another package brings; loads it alone.

    Raises:
        UserError: It cannot be used, or two packages bring it.
    """
    point, *others = _points(kind)[name]
    if others:
        raise UserError(
            f"{_package(point)} and {_package(others[0])} both bring {kind} {name!r}: uninstall one"
        )
    return Foreign(_package(point), _loaded(point, _package(point), BASES[kind]))


def foreign_packages(kind: Kind) -> dict[str, str]:
    """Return the package and version of each part of a kind, by name; loads nothing."""
    return {name: _package(points[0]) for name, points in _points(kind).items()}


@functools.cache
def _points(kind: Kind) -> Mapping[str, list[EntryPoint]]:
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=f"segmentation_search.{kind}"):
        points.setdefault(point.name, []).append(point)
    return points


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _loaded(point: EntryPoint, package: str, base: type[Frozen]) -> type[Frozen]:
    what = f"the entry point {point.name!r} of {package}"
    if not NAME.fullmatch(point.name):
        raise UserError(
            f"{what} must be named like some_name: rename it there, or uninstall the package"
        )
    try:
        part = point.load()
    except Exception as error:  # of somebody else's code
        raise UserError(
            f"{what} cannot be loaded ({first_line(error)}): mend the package, or uninstall it"
        ) from error
    if not (isinstance(part, type) and issubclass(part, base)):
        raise UserError(f"{what} must be a subclass of {base.__name__}, got {point.value}")
    kind = part.model_fields.get("kind")
    if issubclass(part, ForeignNetwork) and (kind is None or kind.default != point.name):
        raise UserError(
            f'{what} must have the field kind: Literal["{point.name}"] = "{point.name}"'
        )
    return part


def foreign_networks(own: tuple[type[Architecture], ...]) -> tuple[type[Any], ...]:
    """Return the families of other packages, none of which may have a name of our ``own``."""
    networks = foreign_parts("networks")
    for name in {each.model_fields["kind"].default for each in own} & networks.keys():
        raise UserError(
            f"{networks[name].package} brings a network {name!r}, which is one of our own: rename it "
            f"there"
        )
    return tuple(each.part for each in networks.values())


def with_foreign_losses(mixture: type[Frozen]) -> type[Frozen]:
    """Return the mixture with a weight for each loss of another package, and its arguments as
    ``NAME_ARGUMENT``.
    """
    fields: dict[str, Any] = {}
    for name, each in foreign_parts("losses").items():
        arguments = {
            f"{name}_{argument}": (argument, info)
            for argument, info in each.part.model_fields.items()
        }
        if taken := {name, *arguments} & {*mixture.model_fields, *fields}:
            raise UserError(
                f"{each.package} brings a loss whose field {min(taken)!r} is there already: rename "
                f"it there"
            )
        fields[name] = (TermWeight, 0.0)
        for field, (argument, info) in arguments.items():
            governed = copy(info)
            governed.metadata = [*info.metadata, ReadWhile(name), Argument(argument)]
            fields[field] = (
                Annotated[info.annotation, ReadWhile(name), Argument(argument)],
                governed,
            )
    if not fields:
        return mixture

    class Lean(mixture):  # type: ignore[misc, valid-type]  # known at run time alone
        @model_serializer(mode="wrap")
        def _lean(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
            """Leave out losses without a weight: whoever lacks their package can read the rest."""
            unread = {
                field
                for name in foreign_parts("losses")
                if not getattr(self, name)
                for field in fields_of(name)
            }
            return {field: value for field, value in whole(self).items() if field not in unread}

    return create_model("Mixture", __base__=Lean, __module__=mixture.__module__, **fields)


def fields_of(loss: str) -> tuple[str, ...]:
    """Return the fields of a mixture that are of a foreign loss: its weight, then its arguments."""
    return loss, *(
        f"{loss}_{argument}" for argument in foreign_parts("losses")[loss].part.model_fields
    )


def packages_here() -> dict[str, str]:
    """Return the package and version of every foreign part that is installed, by kind and name."""
    return {
        f"{kind}.{name}": package
        for kind in BASES
        for name, package in foreign_packages(kind).items()
    }


def lacking_parts(packages: Mapping[str, object]) -> list[Problem]:
    """Return those of some parts that are not installed, or in another version."""
    here = packages_here()
    return [
        Problem(
            name, f"must come from {package}: install that", here.get(name, "nothing of that name")
        )
        for name, package in packages.items()
        if here.get(name) != package
    ]
