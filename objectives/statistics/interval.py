"""An interval, or the reason why there is none."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An interval that holds the true value in a share ``level`` of all repetitions, as far as its
    assumptions hold.
    """

    low: float
    high: float
    level: float

    def of_shares(self) -> tuple[float, float]:
        """Return its ends, of a value that lies in 0..1."""
        return max(0.0, self.low), min(1.0, self.high)


@dataclass(frozen=True)
class Unknown:
    """No number, and why, in words that a person can be shown."""

    reason: str
