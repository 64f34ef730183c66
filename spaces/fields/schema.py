"""The config's types as a flat list of leaves: path, type, default, and the union variants under
which each exists.

The config is the schema: a field, a bound or a variant added to ``objectives.config`` is known here
at once.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from objectives.config import FILLED_IN, LATER, TERM, Config, ReadWhile, Written
from objectives.errors import Problem, ProblemsError
from spaces.values import Value, shown

# the rungs of pruning compare trials epoch by epoch
TRAIN = "train."
FIXED_PER_STUDY = (f"{TRAIN}epochs", f"{TRAIN}steps_per_epoch")
_CHECKS = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Leaf:
    """One field of the config, under one choice of variants.

    Variants that share a field share its ``path`` (``optimiser.learning_rate``); ``own_path`` names
    one variant's alone (``optimiser.sgd.learning_rate``). ``when`` lists the kinds under which the
    leaf exists. ``default`` is None where the config demands a value. ``annotation`` is the field's
    bare type, ``adapter`` checks its bounds too. ``is_share`` says that it is the weight of a term
    in a mixture, which `spaces.fields.simplex` draws together with the others. ``read_while`` are
    its conditions, whose governors are paths. ``is_later`` says that spaces of earlier versions lack
    it, ``form`` how a text is written.
    """

    path: str
    own_path: str
    when: tuple[tuple[str, str], ...]
    default: Value | None
    annotation: object
    adapter: TypeAdapter[Value]
    is_share: bool = False
    read_while: tuple[ReadWhile, ...] = ()
    is_later: bool = False
    form: str = ""

    def exists(self, values: Mapping[str, Value]) -> bool:
        """Return whether a config with these kinds has the leaf."""
        return all(values.get(path) == kind for path, kind in self.when)

    def broken_rule(self, value: object) -> str | None:
        """Return the config's own rule that ``value`` breaks, or None."""
        try:
            self.adapter.validate_python(value)
        except ValidationError as error:
            if self.form:
                return f"must be {self.form}"
            return error.errors()[0]["msg"].replace("Input should", "must")
        return None

    def accept(self, value: Value) -> Value:
        """Return the value as the config would hold it: 1 becomes 1.0 in a float field."""
        return self.adapter.validate_python(value)


@functools.cache
def leaves() -> tuple[Leaf, ...]:
    """Return every leaf of the config in the order of its fields; a union's ``kind`` comes before
    the fields of its variants.
    """
    return tuple(_leaves(Config, Config(), _Place("", "", ())))


@functools.cache
def leaves_by_path() -> Mapping[str, tuple[Leaf, ...]]:
    """Return the leaves that each path means: one per variant for a shared path, a single one for a
    variant's own.
    """
    by_path: dict[str, tuple[Leaf, ...]] = {}
    for leaf in leaves():
        for path in dict.fromkeys((leaf.path, leaf.own_path)):
            by_path[path] = (*by_path.get(path, ()), leaf)
    return by_path


def flatten(config: Config) -> dict[str, Value]:
    """Return the config's values by field path, of the leaves that exist in it."""
    values: dict[str, Value] = {}
    for leaf in leaves():
        if leaf.exists(values):
            values[leaf.path] = functools.reduce(getattr, leaf.path.split("."), config)  # type: ignore[assignment]
    return values


def build(values: Mapping[str, Value]) -> Config:
    """Return the config with these values by field path.

    Raises:
        ProblemsError: The config does not allow them together.
    """
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        functools.reduce(lambda node, section: node.setdefault(section, {}), sections, tree)[
            name
        ] = value
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, each["loc"])), each["msg"], shown(each["input"]))
            for each in error.errors()
        ]
        raise ProblemsError("config", problems) from None


@dataclass(frozen=True)
class _Place:
    """Where the walk is: the prefix of paths there, the prefix of own paths, and the kinds chosen
    on the way.
    """

    prefix: str
    own_prefix: str
    when: tuple[tuple[str, str], ...]

    def into(self, name: str) -> "_Place":
        return _Place(f"{self.prefix}{name}.", f"{self.own_prefix}{name}.", self.when)

    def into_variant(self, name: str, kind: str) -> "_Place":
        prefix = f"{self.prefix}{name}."
        return _Place(
            prefix, f"{self.own_prefix}{name}.{kind}.", (*self.when, (f"{prefix}kind", kind))
        )


def _leaves(cls: type[BaseModel], default: BaseModel | None, place: _Place) -> Iterator[Leaf]:
    for name, field in _in_order(cls):
        value = (
            getattr(default, name)
            if isinstance(default, cls)
            else field.get_default(call_default_factory=True)
        )
        models = _models(field)
        if not models:
            leaf = _leaf(
                name,
                field.annotation,
                None if field.is_required() else value,
                place,
                *field.metadata,
            )
            yield replace(
                leaf,
                is_share=TERM in field.metadata,
                read_while=_conditions(field, place),
                is_later=LATER in field.metadata,
                form=next((each.form for each in field.metadata if isinstance(each, Written)), ""),
            )
        elif "kind" not in models[0].model_fields:
            yield from _leaves(models[0], value, place.into(name))
        else:
            yield from _union_leaves(name, models, value, place)


def _in_order(cls: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Return the fields that a space may vary, later ones last, but for the kind."""
    fields = [
        (name, field)
        for name, field in cls.model_fields.items()
        if name != "kind" and FILLED_IN not in field.metadata
    ]
    return sorted(fields, key=lambda pair: LATER in pair[1].metadata)


def _conditions(field: FieldInfo, place: _Place) -> tuple[ReadWhile, ...]:
    """Return the conditions of a field, with the paths of what governs it."""
    read_while = [each for each in field.metadata if isinstance(each, ReadWhile)]
    paths = [
        each.governor if "." in each.governor else f"{place.prefix}{each.governor}"
        for each in read_while
    ]
    return tuple(replace(each, governor=path) for path, each in zip(paths, read_while, strict=True))


def _union_leaves(
    name: str, models: tuple[type[BaseModel], ...], default: BaseModel, place: _Place
) -> Iterator[Leaf]:
    by_kind = {model.model_fields["kind"].default: model for model in models}
    yield _leaf("kind", Literal[tuple(by_kind)], getattr(default, "kind"), place.into(name))  # noqa: B009
    for kind, model in by_kind.items():
        yield from _leaves(model, default, place.into_variant(name, kind))


def _leaf(
    name: str, annotation: Any, default: Value | None, place: _Place, *bounds: object
) -> Leaf:
    bounded: Any = Annotated[(annotation, *bounds)] if bounds else annotation
    adapter: TypeAdapter[Value] = TypeAdapter(bounded, config=_CHECKS)
    return Leaf(
        f"{place.prefix}{name}",
        f"{place.own_prefix}{name}",
        place.when,
        default,
        annotation,
        adapter,
    )


def _models(field: FieldInfo) -> tuple[type[BaseModel], ...]:
    """Return the variants of a section's type; empty for a plain value."""
    candidates = get_args(field.annotation) or (field.annotation,)
    models = tuple(
        each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)
    )
    return models if len(models) == len(candidates) else ()
