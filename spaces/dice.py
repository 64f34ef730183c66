"""Values that a search draws by itself: at random, or near those of a config that is known."""

import builtins
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

from spaces.values import Scalar

NORMAL = NormalDist()


def share_of(value: float, low: float, high: float, *, log: bool = False) -> float:
    """Return where a value lies in a range, 0 at ``low`` and 1 at ``high``; by its logarithm where
    the range is logarithmic.
    """
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.5


def value_at(share: float, low: float, high: float, *, log: bool = False) -> float:
    """Return the value at a share in 0..1 of a range: the inverse of `share_of`."""
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


@dataclass(frozen=True)
class Near:
    """Near which config to draw: its parameters, how far from them, and what is left as it is.

    ``width`` is the standard deviation of a number in shares of its range, ``keeps`` the chance that
    a choice stays, ``changes`` the chance that a value is drawn at all instead of kept.

    Source: Mallik et al. 2023 (PriorBand), section 4: normal densities around the prior, and around
    the incumbent, of which a part of the values is kept.
    """

    params: Mapping[str, Scalar]
    width: float = 0.25
    keeps: float = 0.6
    changes: float = 1.0


@dataclass(frozen=True)
class FromDice:
    """Answers a space's questions at random: uniformly over ranges and options, or near a config;
    what that one lacks is drawn uniformly.

    ``answers`` are those given, by name: the parameters of the config that is drawn.
    """

    dice: random.Random
    near: Near | None = None
    answers: dict[str, Scalar] = field(default_factory=dict)

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
        centre = self._centre(name)
        if isinstance(centre, builtins.int) and low <= centre <= high and self._is_kept():
            number = centre
        else:  # half a step on both sides, so that the ends are as likely as the others
            ends = (max(low - step / 2, 0.5) if log else low - step / 2), high + step / 2
            drawn = value_at(self._share(centre, *ends, log=log), *ends, log=log)
            number = low + min(max(round((drawn - low) / step), 0), (high - low) // step) * step
        self.answers[name] = number
        return number

    def float(
        self, name: str, low: builtins.float, high: builtins.float, *, log: bool = False
    ) -> builtins.float:
        """Return a number in [low, high]."""
        centre = self._centre(name)
        if isinstance(centre, builtins.float) and low <= centre <= high and self._is_kept():
            value = centre
        else:
            drawn = value_at(self._share(centre, low, high, log=log), low, high, log=log)
            value = min(max(drawn, low), high)
        self.answers[name] = value
        return value

    def choice(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """Return one of the options."""
        centre = self._centre(name)
        value = self.dice.choice(list(options))
        stays = self.near is not None and (self._is_kept() or self.dice.random() < self.near.keeps)
        if stays and centre is not None and centre in options:
            value = centre
        self.answers[name] = value
        return value

    def _centre(self, name: str) -> Scalar | None:
        return self.near.params.get(name) if self.near else None

    def _is_kept(self) -> bool:
        return self.near is not None and self.dice.random() >= self.near.changes

    def _share(
        self,
        centre: Scalar | None,
        low: builtins.float,
        high: builtins.float,
        *,
        log: bool,
    ) -> builtins.float:
        """Draw a share of a range: uniformly, or from a normal density around the centre of which
        only what lies in the range counts.
        """
        uniform = self.dice.random()
        if self.near is None or not isinstance(centre, builtins.int | builtins.float):
            return uniform
        middle = min(max(share_of(centre, low, high, log=log), 0.0), 1.0)
        width = self.near.width
        below, above = NORMAL.cdf((0 - middle) / width), NORMAL.cdf((1 - middle) / width)
        inside = min(max(below + uniform * (above - below), 1e-12), 1 - 1e-12)
        share = middle + width * NORMAL.inv_cdf(inside)
        return min(max(share, 0.0), 1.0)
