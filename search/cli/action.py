"""What makes a command of a declaration: its options come from a dataclass, and what it does is
imported when it runs.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from importlib import import_module
from typing import Any, get_type_hints

from objectives.errors import UserError

NO_TORCH = (
    "torch is not installed here: install it; only `search predict --engine onnx` does without"
)


def done_by(path: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for a command that declares its options alone: the function at ``path``
    takes them by name.
    """
    module, _, name = path.rpartition(".")

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def act(**given: Any) -> None:
            try:
                actions = import_module(module)
            except ModuleNotFoundError as error:
                if error.name != "torch":
                    raise
                raise UserError(NO_TORCH) from error
            getattr(actions, name)(**given)

        act.action = path  # type: ignore[attr-defined]  # for a test that compares the two signatures
        return act

    return decorate


def with_options(kind: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator: a command's first argument becomes options, one for each field of the
    dataclass ``kind``.

    The command's own options follow. Fields that ``kind`` inherits stand after those that it adds.
    """
    hints = get_type_hints(kind, include_extras=True)
    added = sorted(fields(kind), key=lambda each: each.name not in kind.__annotations__)
    shared = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(each),
            annotation=hints[each.name],
        )
        for each in added
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        (first, *rest) = inspect.signature(command).parameters.values()
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in rest]

        @wraps(command)
        def spread(**given: Any) -> None:
            asked = kind(**{each.name: given.pop(each.name) for each in shared})
            command(**{first.name: asked}, **given)

        spread.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]  # what typer reads
        return spread

    return decorate


def _default(each: "Field[Any]") -> Any:
    if each.default_factory is not MISSING:
        return each.default_factory()
    return inspect.Parameter.empty if each.default is MISSING else each.default
