"""What one field may be: a fixed value, a range, one of several options, or a share of the loss
simplex.
"""

from dataclasses import dataclass
from typing import TypeGuard

from spaces.source import ValueSource
from spaces.values import Value, plain, shown, token


@dataclass(frozen=True)
class Fixed:
    """One value; nothing is drawn."""

    value: Value

    def draw(self, name: str, source: ValueSource) -> Value:
        """Return the value, without a question."""
        return self.value

    def holds(self, value: Value) -> bool:
        """Return whether the field may be ``value``."""
        return value == self.value

    def nearest(self, value: Value | None) -> Value:
        """Return the allowed value that is closest to ``value`` (None: no wish)."""
        return self.value

    def to_yaml(self) -> object:
        """Return the form that a space file has."""
        return plain(self.value)

    def __str__(self) -> str:
        return shown(self.to_yaml())


@dataclass(frozen=True)
class Int:
    """Whole numbers low, low + step, ... high; ``log`` draws their logarithm uniformly."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def draw(self, name: str, source: ValueSource) -> Value:
        """Ask for a whole number."""
        return source.int(name, self.low, self.high, step=self.step, log=self.log)

    def holds(self, value: Value) -> bool:
        """Return whether ``value`` is one of the numbers."""
        return (
            _is_number(value)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    def nearest(self, value: Value | None) -> Value:
        """Return the closest of the numbers; ``low`` when there is no wish."""
        if value is None or not _is_number(value):
            return self.low
        clamped = min(max(value, self.low), self.high)
        return self.low + round((clamped - self.low) / self.step) * self.step

    def to_yaml(self) -> object:
        """Return the form that a space file has."""
        step = {"step": self.step} if self.step > 1 else {}
        return {"int": [self.low, self.high], **step, **_log(self.log)}

    def __str__(self) -> str:
        return (
            f"{self.low} .. {self.high}"
            + (f", step {self.step}" if self.step > 1 else "")
            + (", log" if self.log else "")
        )


@dataclass(frozen=True)
class Float:
    """Numbers in [low, high]; ``log`` draws their logarithm uniformly."""

    low: float
    high: float
    log: bool = False

    def draw(self, name: str, source: ValueSource) -> Value:
        """Ask for a number."""
        return source.float(name, self.low, self.high, log=self.log)

    def holds(self, value: Value) -> bool:
        """Return whether ``value`` lies in the range."""
        return _is_number(value) and self.low <= value <= self.high

    def nearest(self, value: Value | None) -> Value:
        """Return the closest number in the range; ``low`` when there is no wish."""
        return (
            min(max(float(value), self.low), self.high)
            if value is not None and _is_number(value)
            else self.low
        )

    def to_yaml(self) -> object:
        """Return the form that a space file has."""
        return {"float": [self.low, self.high], **_log(self.log)}

    def __str__(self) -> str:
        return f"{self.low:g} .. {self.high:g}" + (", log" if self.log else "")


@dataclass(frozen=True)
class Choice:
    """One of at least two options. A list among them is drawn as its JSON, since a parameter is one
    scalar.
    """

    options: tuple[Value, ...]

    def draw(self, name: str, source: ValueSource) -> Value:
        """Ask for an option."""
        tokens = [token(option) for option in self.options]
        return self.options[tokens.index(source.choice(name, tokens))]

    def holds(self, value: Value) -> bool:
        """Return whether ``value`` is an option."""
        return value in self.options

    def nearest(self, value: Value | None) -> Value:
        """Return the closest option among numbers; else ``value`` itself where it is an option, or
        the first one.
        """
        if value is not None and value in self.options:
            return self.options[self.options.index(value)]
        numbers = [option for option in self.options if _is_number(option)]
        if value is not None and _is_number(value) and numbers:
            return min(numbers, key=lambda option: abs(option - value))
        return self.options[0]

    def to_yaml(self) -> object:
        """Return the form that a space file has."""
        return {"choice": [plain(option) for option in self.options]}

    def __str__(self) -> str:
        return " | ".join(shown(plain(option)) for option in self.options)


@dataclass(frozen=True)
class Weight:
    """A free share of the loss simplex, drawn together with the other terms: see
    ``spaces.fields.simplex``.
    """

    optional: bool

    def to_yaml(self) -> object:
        """Return the form that a space file has."""
        return {"weight": "optional" if self.optional else "always"}

    def __str__(self) -> str:
        return "share of the loss" + (", may be off" if self.optional else "")


Drawn = Fixed | Int | Float | Choice  # what a field draws by itself
Domain = Drawn | Weight


def options_of(domain: Domain) -> tuple[Value, ...]:
    """Return the values of a fixed field or a choice; none of a range."""
    match domain:
        case Choice(options):
            return options
        case Fixed(value):
            return (value,)
        case _:
            return ()


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _log(log: bool) -> dict[str, object]:
    return {"log": True} if log else {}
