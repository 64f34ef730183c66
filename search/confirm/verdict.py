"""What a confirmation says: means, intervals, who beats the control, and which candidate to take.
Pure arithmetic.

Scores are paired: each seed was given to every candidate, with the same parts of the data. The
interval of a mean holds its value over seeds and parts like these; it says nothing of other data
(for that, places are resampled on the sealed test). Few places make few parts, so that seeds share
one. Such seeds tell of that part together and not of two: their runs count as one, their average,
and degrees of freedom are those of the different parts.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr, stdtrit

from objectives.errors import UserError
from objectives.statistics.interval import Interval, Unknown
from search.confirm.cell import Cell
from search.confirm.confirmation import CandidateVerdict, ChosenCandidate, Confirmation
from search.confirm.seed_table import MeanEstimate, SeedTable, Variance
from search.confirm.selection_bias import pull_together
from search.posterior.standing import SURE

LEVEL = 0.95
# of the standard error of a paired difference: the dearer one is the better with less than 70 %
# then
TIE = 0.5
_ROUNDING = 1e-12  # of scores, in 0..1
_ONE_SEED = Unknown("one seed: nothing is known of how much seeds move a score")
_ONE_PART = Unknown("one validation part: nothing is known of how much parts move a score")


def confirm(
    runs: Sequence[Cell],
    control: int,
    *,
    level: float = LEVEL,
    tie: float = TIE,
    within: float = 0.0,
) -> Confirmation:
    """Return the verdict from the runs so far. Runs that failed may be left out or have a NaN score.

    The highest mean wins. Candidates within ``tie`` standard errors of it, those of their paired difference from it, are tied,
    and the one with fewest multiply-adds is taken. With ``within`` those count as tied, too, that are truly no more than so
    much worse with a probability of `SURE`. The control takes part like any other.

    Source: the tie rule is the one-standard-error rule of Breiman et al. 1984 (Classification and Regression Trees), section
    3.4.3, for paired differences, with a smaller share.

    Raises:
        UserError: No run has a score.
    """
    scored = [run for run in runs if not math.isnan(run.score)]
    if not scored:
        raise UserError("no run of the confirmation has a score yet")
    return _Verdict(scored, control, level, tie, within).confirmation(
        sorted({run.candidate for run in runs})
    )


def probability_above(difference: float, variance: float, degrees: float) -> float:
    """Return the probability that a true difference is above 0, from an unbiased normal estimate of
    it with an estimated variance.

    The estimate, moved and scaled, has a t distribution under a flat prior; one half when both are
    exactly 0.

    Source: Box and Tiao 1973 (Bayesian Inference in Statistical Analysis), section 2.4.
    """
    if variance <= 0.0:
        return 0.5 if abs(difference) < _ROUNDING else float(difference > 0.0)
    return float(stdtr(degrees, difference / math.sqrt(variance)))


class _Verdict:
    """The table of scores with the variances that all questions share."""

    def __init__(
        self, scored: Sequence[Cell], control: int, level: float, tie: float, within: float
    ) -> None:
        self.runs = {
            number: [run for run in scored if run.candidate == number]
            for number in {run.candidate for run in scored}
        }
        self.numbers = sorted(self.runs)
        self.control = control
        self.level = level
        self.tie = tie
        self.within = within
        self.table = _table(scored, self.numbers)
        self.too_few = _ONE_SEED if len({run.seed for run in scored}) == 1 else _ONE_PART
        self.noise = self.table.noise()
        self.spread = self.table.spread()
        self.means = {number: self.table.mean(row) for row, number in enumerate(self.numbers)}
        self.costs = {number: runs[0].multiply_adds for number, runs in self.runs.items()}

    def confirmation(self, asked: Sequence[int]) -> Confirmation:
        ranked = sorted(
            self.numbers, key=lambda number: (-self.means[number].value, self.costs[number], number)
        )
        return Confirmation(
            candidates=tuple(self.confirmed(number) for number in ranked),
            choice=self.choice(ranked[0]),
            control=self.control,
            noise=self.deviation(self.noise),
            spread=self.deviation(self.spread),
            without_score=tuple(number for number in asked if number not in self.runs),
        )

    def confirmed(self, number: int) -> CandidateVerdict:
        mean = self.means[number]
        runs = self.runs[number]
        return CandidateVerdict(
            candidate=number,
            runs=len(runs),
            mean=mean.value,
            interval=self.around(mean.value, self.spread.value * mean.factor),
            per_class=_class_means(runs),
            beats_control=self.beats_control(number),
            multiply_adds=self.costs[number],
        )

    def around(self, value: float, variance: float) -> Interval | Unknown:
        """Return the t interval of a mean: its variance is at most the spread's share, whatever
        runs are missing.
        """
        if not self.spread.degrees:
            return self.too_few
        reach = float(stdtrit(self.spread.degrees, (1.0 + self.level) / 2.0)) * math.sqrt(variance)
        return Interval(value - reach, value + reach, self.level)

    def deviation(self, variance: Variance) -> float | Unknown:
        return math.sqrt(variance.value) if variance.degrees else self.too_few

    def difference(self, first: int, second: int) -> MeanEstimate:
        return self.table.difference(self.numbers.index(first), self.numbers.index(second))

    def beats_control(self, number: int) -> float | Unknown:
        missing = self.no_comparison(number)
        if isinstance(missing, Unknown):
            return missing
        return probability_above(
            missing.value, self.noise.value * missing.factor, self.noise.degrees
        )

    def no_comparison(self, number: int) -> MeanEstimate | Unknown:
        """Return the difference from the control, or why there is none."""
        if number == self.control:
            return Unknown("it is the control")
        if self.control not in self.runs:
            return Unknown("the control has no score")
        if not self.noise.degrees:
            return Unknown("too few runs: nothing is known of how much seeds move a difference")
        difference = self.difference(number, self.control)
        return (
            difference
            if math.isfinite(difference.factor)
            else Unknown("no seed that it shares with the control, directly or by others")
        )

    def choice(self, best: int) -> ChosenCandidate:
        tied = tuple(
            number for number in self.numbers if number == best or self.is_tied(best, number)
        )
        chosen = min(
            tied, key=lambda number: (self.costs[number], -self.means[number].value, number)
        )
        expected, variance = self.corrected(chosen)
        corrected = bool(self.noise.value > 0.0 and len(self.group(chosen)) > 1)
        seeds = max(0.0, self.spread.value - self.noise.value) / self.table.scores_CS.shape[1]
        interval = self.around(expected, variance + seeds)
        beats_control = self.corrected_beats_control(chosen)
        return ChosenCandidate(chosen, tied, expected, corrected, interval, beats_control)

    def is_tied(self, best: int, number: int) -> bool:
        behind = self.difference(best, number)
        if self.within and self.no_worse(behind):
            return True
        reach = (
            self.tie * math.sqrt(self.noise.value * behind.factor)
            if math.isfinite(behind.factor)
            else 0.0
        )
        return behind.value <= reach + _ROUNDING

    def no_worse(self, behind: MeanEstimate) -> bool:
        """Return whether a candidate that is so far behind is surely within what is asked for."""
        if not (self.noise.degrees and math.isfinite(behind.factor)):
            return False
        variance = self.noise.value * behind.factor
        return probability_above(self.within - behind.value, variance, self.noise.degrees) >= SURE

    def corrected(self, chosen: int) -> tuple[float, float]:
        """Return what to expect of the chosen one, and the variance of that without the seeds'
        effects.
        """
        group = self.group(chosen)
        estimates = [self.means[number] for number in group]
        values = np.array([each.value for each in estimates])
        factors = np.array([each.factor for each in estimates])
        shrunk = pull_together(values, self.noise.value * factors)
        place = group.index(chosen)
        return float(shrunk.means[place]), float(shrunk.variances[place])

    def group(self, chosen: int) -> list[int]:
        """Candidates that are pulled together: the control is no draw from the search, so only
        where it was chosen.
        """
        return [number for number in self.numbers if number != self.control or number == chosen]

    def corrected_beats_control(self, chosen: int) -> float | Unknown:
        missing = self.no_comparison(chosen)
        if isinstance(missing, Unknown):
            return missing
        control = self.means[self.control]
        expected, variance = self.corrected(chosen)
        return probability_above(
            expected - control.value,
            variance + self.noise.value * control.factor,
            self.noise.degrees,
        )


def _table(scored: Sequence[Cell], numbers: Sequence[int]) -> SeedTable:
    """Scores by candidate and part; where seeds share a part, a candidate's average over them."""
    columns = list(dict.fromkeys(_column(run) for run in sorted(scored, key=lambda run: run.seed)))
    scores_of: dict[tuple[int, int], list[float]] = defaultdict(list)
    seen: set[tuple[int, int]] = set()
    for run in scored:
        assert (run.candidate, run.seed) not in seen, (
            f"trial {run.candidate} was confirmed twice with seed {run.seed}"
        )
        seen.add((run.candidate, run.seed))
        scores_of[numbers.index(run.candidate), columns.index(_column(run))].append(run.score)
    scores_CS = np.full((len(numbers), len(columns)), np.nan)
    for cell, scores in scores_of.items():
        scores_CS[cell] = sum(scores) / len(scores)
    return SeedTable(scores_CS)


def _column(run: Cell) -> str | int:
    return run.part or run.seed


def _class_means(runs: Sequence[Cell]) -> dict[str, float]:
    """Means as those of scores: seeds that share a part count as one."""
    names = dict.fromkeys(name for run in runs for name in run.per_class)
    by_part: dict[str | int, list[Cell]] = defaultdict(list)
    for run in runs:
        by_part[_column(run)].append(run)
    return {
        name: _mean(
            [
                _mean([run.per_class.get(name, math.nan) for run in shared])
                for shared in by_part.values()
            ]
        )
        for name in names
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
