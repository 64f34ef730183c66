"""From the diaries of a scene's workers to its figures; what had not happened when the scene ended
counts as having taken at least so long.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from database_bench.adapter import Hold


@dataclass(frozen=True)
class Figure:
    """A number; ``at_least`` where the time box has cut it."""

    value: float
    at_least: bool = False


@dataclass(frozen=True)
class Claim:
    """One claim by the clock of all: asked, got, its config drawn; what is infinite had not happened
    by the end.
    """

    asked: float
    got: float = math.inf
    drawn: float = math.inf


@dataclass(frozen=True)
class Lock:
    """One taking of the claim lock: sent, answered, and given back."""

    sent: float
    answered: float
    freed: float = math.inf


@dataclass(frozen=True)
class Diaries:
    """What the workers of a scene have written, worker by worker, and when the scene ended."""

    claims: tuple[tuple[Claim, ...], ...]
    locks: tuple[Lock, ...]
    ended: tuple[float, ...]
    end: float

    @classmethod
    def read(cls, paths: Iterable[Path], end: float) -> "Diaries":
        """Return what lies in the files; a last line may be torn."""
        claims, locks, ended = [], [], []
        for path in paths:
            lines = path.read_text().splitlines() if path.exists() else []
            events = [
                (words[0], [float(word) for word in words[1:]]) for words in map(str.split, lines)
            ]
            claims.append(tuple(_claims(events)))
            locks += list(_locks(events))
            ended += [times[0] for word, times in events if word == "ended"]
        return cls(tuple(claims), tuple(locks), tuple(ended), end)

    def waits(self, since: float = -math.inf, until: float = math.inf) -> list[Figure]:
        """Return how long the claims took that were going on in a span of time."""
        return [
            self._took(claim.asked, claim.got)
            for claims in self.claims
            for claim in claims
            if claim.got >= since and claim.asked < min(until, self.end)
        ]

    def first_claims(self, worker: int) -> Figure:
        """Return how long a worker's first claim took."""
        first = self._first(worker)
        return self._took(first.asked, first.got)

    def first_drawn(self, worker: int) -> Figure:
        """Return how long a worker took to its first config."""
        first = self._first(worker)
        return self._took(first.asked, first.drawn)

    def _first(self, worker: int) -> Claim:
        return next(iter(self.claims[worker]), Claim(self.end))

    def drawn(self) -> list[Figure]:
        """Return how long it took from asking for a trial to its config."""
        return [
            self._took(claim.asked, claim.drawn)
            for claims in self.claims
            for claim in claims
            if claim.asked < self.end
        ]

    def holds(self, kind: Hold) -> list[Figure]:
        """Return how long the claim lock was held each time."""
        begun_by_then = (lock for lock in self.locks if lock.answered < self.end)
        locks = sorted(begun_by_then, key=lambda lock: lock.freed)
        if kind is Hold.FROM_ANSWER:
            return [self._took(lock.answered, lock.freed) for lock in locks]
        begun = [lock.sent for lock in locks]
        for place, (before, lock) in enumerate(pairwise(locks), start=1):
            begun[place] = max(lock.sent, before.freed)
        return [self._took(start, lock.freed) for start, lock in zip(begun, locks, strict=True)]

    def _took(self, start: float, end: float) -> Figure:
        return Figure(min(end, self.end) - start, at_least=end > self.end)


def percentile(figures: Sequence[Figure], share: float) -> Figure:
    """Return the figure that so large a share lies at or below.

    Those that were cut count for as long as they were seen, and not after. Source: Kaplan and Meier
    1958, Nonparametric Estimation from Incomplete Observations.
    """
    # of equals those that were cut come last: they are known to be longer
    ordered = sorted(figures, key=lambda figure: (figure.value, figure.at_least))
    longer = 1.0  # the share that is
    for place, figure in enumerate(ordered):
        if not figure.at_least:
            longer *= 1 - 1 / (len(ordered) - place)
            if longer <= 1 - share + 1e-9:
                return figure
    return Figure(ordered[-1].value, at_least=True) if ordered else Figure(math.nan)


def longest(figures: Sequence[Figure]) -> Figure:
    """Return the longest, which may be one that was cut."""
    return percentile(figures, 1.0)


def _claims(events: Sequence[tuple[str, list[float]]]) -> Iterable[Claim]:
    asked, got, drawn = math.nan, math.inf, math.inf
    for word, times in [*events, ("ask", [math.nan])]:
        match word:
            case "ask":
                if not math.isnan(asked):
                    yield Claim(asked, got, drawn)
                asked, got, drawn = times[0], math.inf, math.inf
            case "got":
                got = times[0]
            case "drawn":
                drawn = times[0]


def _locks(events: Sequence[tuple[str, list[float]]]) -> Iterable[Lock]:
    taken: list[float] = []
    for word, times in events:
        if word == "lock":
            taken = times
        elif word == "free" and taken:
            yield Lock(taken[0], taken[1], times[0])
            taken = []
    if taken:
        yield Lock(taken[0], taken[1])
