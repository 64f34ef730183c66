"""The verdict of a confirmation, as it is handed on."""

from collections.abc import Mapping
from dataclasses import dataclass

from objectives.statistics.interval import Interval, Unknown


@dataclass(frozen=True)
class CandidateVerdict:
    """What the confirmation says of one candidate, chosen or not: nothing here is corrected for
    choosing the best.
    """

    candidate: int
    runs: int
    # over all parts, or seeds of one part; where a run is missing, as that part was for the other
    # candidates
    mean: float
    interval: Interval | Unknown
    # means over its parts, of each over its runs; NaN for a class that never occurs
    per_class: Mapping[str, float]
    beats_control: float | Unknown  # probability, 0..1
    multiply_adds: int


@dataclass(frozen=True)
class ChosenCandidate:
    """The candidate to take and what to expect of it, corrected for having been chosen among the
    candidates.
    """

    candidate: int
    # candidates as good as the best mean for all that is known, the chosen one among them
    tied: tuple[int, ...]
    expected: float  # below its mean where candidates are close together
    # False: it is the mean, with one seed, or where nothing was chosen but the control left out
    corrected: bool
    interval: Interval | Unknown
    beats_control: float | Unknown


@dataclass(frozen=True)
class Confirmation:
    """The verdict over all candidates; ``candidates`` have at least one score, the highest mean
    first.
    """

    candidates: tuple[CandidateVerdict, ...]
    choice: ChosenCandidate
    control: int
    # standard deviation of a score, what all candidates share with a seed apart
    noise: float | Unknown
    spread: float | Unknown  # standard deviation of a candidate's score from seed to seed
    without_score: tuple[int, ...]  # candidates all whose runs failed
