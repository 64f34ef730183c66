"""Numbers as people read them."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """A unit of device time for a whole report, so that its numbers compare."""

    name: str
    seconds: float

    def shown(self, seconds: float) -> str:
        """Return the time in this unit with its name."""
        return f"{self.number(seconds)} {self.name}"

    def number(self, seconds: float) -> str:
        """Return the time in this unit."""
        return "-" if math.isnan(seconds) else f"{seconds / self.seconds:,.2f}"


HOURS = Unit("h", 3600.0)
MINUTES = Unit("min", 60.0)


def unit_of(total_s: float) -> Unit:
    """Hours, or minutes where all of it is less than two hours."""
    return HOURS if total_s >= 2 * HOURS.seconds else MINUTES


def score(value: float) -> str:
    """Return a score or an IoU: the third decimal is noise enough."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def change(value: float) -> str:
    """Return a difference of scores, with its sign."""
    return "-" if math.isnan(value) else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def parameter(value: object) -> str:
    """Return the value of a parameter."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}"
        case _:
            return str(value)
