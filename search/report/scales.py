"""From values to pixels, and where an axis has its ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_PAD = 0.04  # of the range, free at either end
_STEPS = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Maps ``low`` to ``high`` onto the pixels ``start`` to ``end``; what lies outside is drawn at
    the nearer end.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (self._position(value) - self._position(self.low)) / (
            self._position(self.high) - self._position(self.low)
        )
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self, most: int = 6) -> tuple[float, ...]:
        """Round values within the range, in order."""
        return (
            log_ticks(self.low, self.high, most)
            if self.log
            else linear_ticks(self.low, self.high, most)
        )

    def _position(self, value: float) -> float:
        return math.log10(value) if self.log else value


def padded(values: Iterable[float], start: float, end: float, *, log: bool = False) -> Scale:
    """Return a scale that holds all values, with a little room at either end; around a single value
    there is room, too.
    """
    numbers = list(values)
    low = min(numbers)
    high = max(numbers)
    if log:
        room = _PAD * math.log10(high / low) if high > low else 0.5
        return Scale(low / 10**room, high * 10**room, start, end, log=True)
    room = (
        _PAD * (high - low)
        if high - low > 1e-9 * max(abs(high), abs(low), 1e-9)
        else max(abs(high), 1.0) * 0.05
    )
    return Scale(low - room, high + room, start, end)


def linear_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten; of the next smaller step where none of the right
    one lies within.
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    place = next(
        place for place, factor in enumerate(_STEPS) if power * factor >= rough * (1 - 1e-9)
    )
    return _multiples(low, high, power * _STEPS[place]) or _multiples(
        low, high, power * _STEPS[place - 1]
    )


def _multiples(low: float, high: float, step: float) -> tuple[float, ...]:
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def log_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Powers of ten, with their doubles and fivefolds where there is room."""
    first = math.floor(math.log10(low))
    last = math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        candidates = [
            factor * 10.0**power for power in range(first, last + 1) for factor in factors
        ]
        kept = tuple(value for value in candidates if low <= value <= high)
        if len(kept) <= most:
            return kept
    return kept[:: math.ceil(len(kept) / most)]
