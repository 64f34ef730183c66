"""How labelled frames are read and split, as options of every command that prepares data."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from objectives.data.options import DataOptions
from search.cli.options import (
    ExifChoice,
    Ignore,
    LeaveOut,
    MaxDeviation,
    MinIdentical,
    MinLabelled,
    Scored,
    Seed,
    Size,
    Split,
    parse_labels,
    parse_leave_out,
    parse_size,
    parse_split,
)

Asked = TypeVar("Asked")


@dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """The options as typed; each field is one of the command line."""

    size: Size = ""
    min_identical: MinIdentical = 10
    min_labelled: MinLabelled = 0.0
    max_deviation: MaxDeviation = 0.0
    ignore: Ignore = ""
    exif: ExifChoice = "turn"
    scored: Scored = ""
    split: Split = ""
    leave_out: LeaveOut = None
    seed: Seed = 0

    def frames(self) -> DataOptions:
        """Return the options as read.

        Raises:
            UserError: One cannot be read.
        """
        return DataOptions(
            size=parse_size(self.size),
            min_identical=self.min_identical,
            shares=parse_split(self.split),
            seed=self.seed,
            scored=parse_labels(self.scored),
            min_labelled=self.min_labelled,
            max_deviation=self.max_deviation,
            ignore=self.ignore,
            exif=self.exif,
            leave_out=parse_leave_out(self.leave_out),
        )


def with_options(kind: type[Asked]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator: a command's first argument becomes options, one for each field of ``kind``; its own follow.

    Fields that ``kind`` inherits stand after those that it adds.
    """
    hints, defaults = get_type_hints(kind, include_extras=True), kind()
    added = [name for name in hints if name in kind.__annotations__]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(defaults, name), annotation=hints[name])
        for name in sorted(hints, key=lambda name: name not in added)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(command).parameters.values())[1:]
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]

        @wraps(command)
        def spread(**given: Any) -> None:
            asked = kind(**{each.name: given.pop(each.name) for each in shared})
            command(asked, **given)

        spread.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]  # what typer reads
        return spread

    return decorate
