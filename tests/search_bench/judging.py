"""What the choices of searches in virtual time are worth, by the truth of the world they were made in."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search_bench.choices import EVERY, Study, studies_of
from search_bench.parts import GROUND
from search_bench.virtual import WITH_STEPS, World

Floats = npt.NDArray[np.float64]
CHOICES = ("highest", "posterior")
SHOWN = (8, 16, 40)  # budgets; and the whole of a larger one
CONTROL_ONLY = "control only"
OURS = ("model", "tpe + halving")  # ways of the service; what begins like them is ours, too
BOOTSTRAPS = 2000
ENOUGH = 20  # repetitions of a peer by which ours are measured


@dataclass(frozen=True)
class Gains:
    """What a search's choices gain over the control by repetition and budget, (R, B); NaN in repetitions
    that it has not played.
    """

    method: str
    choice: str
    gains_RB: Floats

    @property
    def ours(self) -> bool:
        """Whether it is a way of the service, chosen as the service does."""
        return self.method.startswith(OURS) and self.choice == "posterior"

    @property
    def theirs(self) -> bool:
        """Whether it is a peer's as it comes, by the peer's own choice."""
        own = not self.method.startswith(OURS) and not self.method.endswith(WITH_STEPS)
        return own and self.choice == "highest"

    def at(self, budget: int) -> Floats:
        """Return the gains (R,) after a budget, in the repetitions that it has played."""
        gains_R = self.gains_RB[:, budget // EVERY - 1]
        return gains_R[np.isfinite(gains_R)]

    @property
    def played(self) -> int:
        """How many repetitions it has played."""
        return len(self.at(EVERY))


@dataclass(frozen=True)
class Verdict:
    """The gains of all searches on one world, each with the same workers and budget."""

    world: World
    workers: int
    budget: int = 40

    @cached_property
    def all(self) -> list[Gains]:
        """The gains of each search by each choice, NaN in repetitions that it has not played, and of a study
        that trains and chooses its control alone.

        Raises:
            SystemExit: No study is there.
        """
        studies = defaultdict[str, dict[int, Study]](dict)
        wanted = (self.workers, self.world.told, self.budget)
        for study in studies_of(self.world.name, self.world.kept_as):
            if (study.workers, study.runs, study.budget) == wanted:
                studies[study.method][study.repetition] = study
        if not studies:
            raise SystemExit(
                f"bench-search: no study of {self.world.name} with {self.workers} workers and "
                f"{self.budget} trainings: make bench-peers plays them"
            )
        every = sorted(set.union(*map(set, studies.values())))
        nothing = Gains(CONTROL_ONLY, "-", np.zeros((len(every), self.budget // EVERY)))
        unplayed_B = np.full(self.budget // EVERY, np.nan)
        return [nothing] + [
            Gains(
                method,
                choice,
                np.array(
                    [self._gains(by[each], choice) if each in by else unplayed_B for each in every]
                ),
            )
            for method, by in studies.items()
            for choice in CHOICES
        ]

    @property
    def compared(self) -> list[Gains]:
        """The peers' gains by which ours are measured: of those that have played enough, or as often as any."""
        enough = min(ENOUGH, len(self.all[0].gains_RB))
        return [each for each in self.all if each.theirs and each.played >= enough]

    def _gains(self, study: Study, choice: str) -> Floats:
        numbers = study.highest if choice == "highest" else study.posterior
        gain = {
            number: self.world.gain(GROUND.tried(params).values, study.repetition, number)
            for number, params in study.params.items()
        }
        return np.array([gain[number] for number in numbers])

    def speed_up(self, ours: Gains, picked_R: npt.NDArray[np.intp]) -> float:
        """Return how many times sooner ours has what the best peer has at last; 0 when it never has."""
        theirs = max(np.nanmean(each.gains_RB[picked_R, -1]) for each in self.compared)
        curve_B = np.nanmean(ours.gains_RB[picked_R], axis=0)
        above = np.flatnonzero(curve_B >= theirs)
        if not above.size:
            return 0.0
        first = int(above[0])
        if first == 0:
            return self.budget / EVERY
        share = (theirs - curve_B[first - 1]) / (curve_B[first] - curve_B[first - 1])
        return float(self.budget / (EVERY * (first + share)))

    def lines(self) -> Iterator[str]:
        """Yield what is to be printed."""
        yield (
            f"{self.world.name}: {self.workers} workers; the best config "
            f"found gains {self.world.attainable:+.4f}"
        )
        budgets = [each for each in SHOWN if each < self.budget] + [self.budget]
        gains = " | ".join(f"gain at {each}" for each in budgets)
        yield (
            f"| search | chosen by | repetitions | {gains} | share of the attainable "
            f"| worse than the control at {', '.join(map(str, budgets))} |"
        )
        yield "|---|---|" + "--:|" * (len(budgets) + 3)
        for each in sorted(self.all, key=lambda gains: -gains.at(self.budget).mean()):
            cells = [shown(each.at(budget)) for budget in budgets]
            share = each.at(self.budget).mean() / self.world.attainable
            worse = ", ".join(f"{(each.at(budget) < 0).mean():.0%}" for budget in budgets)
            yield (
                f"| {each.method} | {each.choice} | {each.played} | {' | '.join(cells)} | {share:.0%} "
                f"| {worse} |"
            )
        theirs = [each.at(self.budget).mean() for each in self.compared]
        if not theirs or max(theirs) <= 0:
            yield "no peer that has played enough ends above the control: who is there sooner cannot be said"
            return
        dice = np.random.default_rng(0)
        repetitions = len(self.all[0].gains_RB)
        picked = dice.integers(0, repetitions, (BOOTSTRAPS, repetitions))
        for each in self.all:
            if each.ours:
                now = self.speed_up(each, np.arange(repetitions))
                low = np.quantile([self.speed_up(each, row) for row in picked], 0.025)
                yield (
                    f"{each.method}: what the best peer has at {self.budget}, {now:.1f} times sooner (lower "
                    f"bound of 95 %: {low:.1f}; 0: never)"
                )


def shown(values: Floats) -> str:
    """Return a mean and its standard error, where there are two or more."""
    if len(values) < 2:
        return f"{values.mean():+.4f}"
    return f"{values.mean():+.4f} ± {values.std(ddof=1) / len(values) ** 0.5:.4f}"
