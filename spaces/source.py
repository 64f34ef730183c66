"""Where the values of a draw come from: a trial of the search, or parameters that were stored
earlier.
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from objectives.errors import Problem, ProblemsError
from spaces.values import Scalar, shown


class ValueSource(Protocol):
    """Answers one named question at a time; a space asks the same questions in the same order for
    the same answers.
    """

    def int(
        self,
        name: str,
        low: builtins.int,
        high: builtins.int,
        *,
        step: builtins.int = 1,
        log: bool = False,
    ) -> builtins.int:
        """Return a whole number among low, low + step, ... high."""

    def float(
        self, name: str, low: builtins.float, high: builtins.float, *, log: bool = False
    ) -> builtins.float:
        """Return a number in [low, high]."""

    def choice(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """Return one of the options."""


@dataclass(frozen=True)
class FromParams:
    """Answers with stored parameters, so that a config can be rebuilt.

    Raises:
        ProblemsError: One is missing or outside.
    """

    params: Mapping[str, object]

    def int(
        self,
        name: str,
        low: builtins.int,
        high: builtins.int,
        *,
        step: builtins.int = 1,
        log: bool = False,
    ) -> builtins.int:
        """Return the stored whole number."""
        value = self._stored(name)
        if isinstance(value, bool) or not isinstance(value, builtins.int):
            raise _unfit(name, "must be a whole number", value)
        if not low <= value <= high or (value - low) % step:
            raise _unfit(
                name,
                f"must lie in {low} .. {high}" + (f" in steps of {step}" if step > 1 else ""),
                value,
            )
        return value

    def float(
        self, name: str, low: builtins.float, high: builtins.float, *, log: bool = False
    ) -> builtins.float:
        """Return the stored number."""
        value = self._stored(name)
        if isinstance(value, bool) or not isinstance(value, builtins.int | builtins.float):
            raise _unfit(name, "must be a number", value)
        if not low <= value <= high:
            raise _unfit(name, f"must lie in {low:g} .. {high:g}", value)
        return builtins.float(value)

    def choice(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """Return the stored option."""
        value = self._stored(name)
        for option in options:
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return option
        raise _unfit(name, f"must be one of {', '.join(map(shown, options))}", value)

    def _stored(self, name: str) -> object:
        if name not in self.params:
            raise _unfit(name, "must be among the stored parameters", "nothing")
        return self.params[name]


def _unfit(name: str, rule: str, value: object) -> ProblemsError:
    return ProblemsError("stored parameters", [Problem(name, rule, shown(value))])
