"""What the choices of searches in virtual time are worth, by the truth of the world they were made in."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search_bench.choices import BUDGETS, Study, studies_of
from search_bench.parts import GROUND
from search_bench.surrogate import point_of
from search_bench.worlds import World, gain_of

Floats = npt.NDArray[np.float64]
CHOICES = ("highest", "posterior")
OURS = ("model", "tpe + halving")  # ways of the service; what begins like them is ours, too
BOOTSTRAPS = 2000


@dataclass(frozen=True)
class Gains:
    """What a search's choices gain over the control by repetition and budget, (R, B)."""

    method: str
    choice: str
    gains_RB: Floats

    @property
    def ours(self) -> bool:
        """Whether it is a way of the service, chosen as the service does."""
        return self.method.startswith(OURS) and self.choice == "posterior"

    @property
    def theirs(self) -> bool:
        """Whether it is a peer's, by the peer's own choice."""
        return not self.method.startswith(OURS) and self.choice == "highest"

    def at(self, budget: int) -> Floats:
        """Return the gains (R,) after a budget."""
        return self.gains_RB[:, BUDGETS.index(budget)]


@dataclass(frozen=True)
class Verdict:
    """The gains of all searches on worlds made of one table."""

    worlds: Sequence[World]  # by repetition; those that all were played in may be fewer
    workers: int

    @property
    def name(self) -> str:
        """What the worlds are made of."""
        return self.worlds[0].name

    @cached_property
    def attainable(self) -> float:
        """What the best config of a world gains over the control, on average."""
        return float(np.mean([world.attainable for world in self.worlds]))

    @cached_property
    def all(self) -> list[Gains]:
        """The gains of each search by each choice, over the repetitions that all have."""
        studies = defaultdict[str, dict[int, Study]](dict)
        for study in studies_of(self.name):
            known = study.repetition < len(self.worlds)
            if known and (study.workers, study.runs) == (self.workers, self.worlds[0].told):
                studies[study.method][study.repetition] = study
        shared = sorted(set.intersection(*(set(each) for each in studies.values())))
        return [
            Gains(method, choice, np.array([self._gains(by[each], choice) for each in shared]))
            for method, by in studies.items()
            for choice in CHOICES
        ]

    def _gains(self, study: Study, choice: str) -> Floats:
        world = self.worlds[study.repetition]
        numbers = study.highest if choice == "highest" else study.posterior
        gain = {
            number: gain_of(world, point_of(GROUND.tried(params).values))
            for number, params in study.params.items()
        }
        return np.array([gain[number] for number in numbers])

    def speed_up(self, ours: Gains, picked_R: npt.NDArray[np.intp]) -> float:
        """Return how many times sooner ours has what the best peer has at last; 0 when it never has."""
        theirs = max(each.gains_RB[picked_R, -1].mean() for each in self.all if each.theirs)
        curve_B = ours.gains_RB[picked_R].mean(axis=0)
        above = np.flatnonzero(curve_B >= theirs)
        if not above.size:
            return 0.0
        first = int(above[0])
        if first == 0:
            return BUDGETS[-1] / BUDGETS[0]
        share = (theirs - curve_B[first - 1]) / (curve_B[first] - curve_B[first - 1])
        return BUDGETS[-1] / (BUDGETS[first - 1] + share * (BUDGETS[first] - BUDGETS[first - 1]))

    def lines(self) -> Iterator[str]:
        """Yield what is to be printed."""
        repetitions = len(self.all[0].gains_RB)
        yield (
            f"{self.name}: {repetitions} repetitions, {self.workers} workers; the best config "
            f"found gains {self.attainable:+.4f}"
        )
        yield (
            "| search | chosen by | gain at 8 | at 16 | at 40 | share of the attainable "
            "| worse than the control at 8, 16, 40 |"
        )
        yield "|---|---|--:|--:|--:|--:|--:|"
        for each in sorted(self.all, key=lambda gains: -gains.at(40).mean()):
            cells = [shown(each.at(budget)) for budget in (8, 16, 40)]
            share = each.at(40).mean() / self.attainable
            worse = ", ".join(f"{(each.at(budget) < 0).mean():.0%}" for budget in (8, 16, 40))
            yield f"| {each.method} | {each.choice} | {' | '.join(cells)} | {share:.0%} | {worse} |"
        theirs = [each.gains_RB[:, -1].mean() for each in self.all if each.theirs]
        if not theirs or max(theirs) <= 0:
            yield "no peer ends above the control, so nothing can be said of who is there sooner"
            return
        dice = np.random.default_rng(0)
        picked = dice.integers(0, repetitions, (BOOTSTRAPS, repetitions))
        for each in self.all:
            if each.ours:
                now = self.speed_up(each, np.arange(repetitions))
                low = np.quantile([self.speed_up(each, row) for row in picked], 0.025)
                yield (
                    f"{each.method}: what the best peer has at 40, {now:.1f} times sooner (lower "
                    f"bound of 95 %: {low:.1f}; 0: never)"
                )


def shown(values: Floats) -> str:
    """Return a mean and its standard error."""
    return f"{values.mean():+.4f} ± {values.std(ddof=1) / len(values) ** 0.5:.4f}"
