"""What the choices of searches in virtual time are worth, by the truth of the world they were made in."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search_bench.choices import EVERY, Study, studies_of
from search_bench.parts import GROUND
from search_bench.surrogate import Surrogate, point_of
from spaces.values import Value

Floats = npt.NDArray[np.float64]
CHOICES = ("highest", "posterior")
SHOWN = (8, 16, 40)  # budgets; and the whole of a larger one
CONTROL_ONLY = "control only"
OURS = ("model", "tpe + halving")  # ways of the service; what begins like them is ours, too
BOOTSTRAPS = 2000
CLIMBS, STEPS, AROUND = 8, 40, 50  # for the best config of a world


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
        return self.gains_RB[:, budget // EVERY - 1]


@dataclass(frozen=True)
class Verdict:
    """The gains of all searches on one world, each with the same workers and budget."""

    world: Surrogate
    workers: int
    budget: int = 40

    @cached_property
    def control(self) -> float:
        """The control's true score."""
        return float(self.world.truth(self.world.control[None])[0])

    @cached_property
    def attainable(self) -> float:
        """What the best config that is found by climbing gains over the control."""
        dice = random.Random(0)
        near = GROUND.near(GROUND.control, changes=0.5)
        begun = [GROUND.drawn(dice, near) for _ in range(AROUND * CLIMBS)]
        truths = self._truths([each.values for each in begun])
        tops = []
        for place in np.argsort(-truths)[:CLIMBS]:
            best, height = begun[int(place)], float(truths[int(place)])
            for _ in range(STEPS):
                around = [
                    GROUND.drawn(dice, GROUND.near(best.params, changes=0.2)) for _ in range(AROUND)
                ]
                found = self._truths([each.values for each in around])
                if found.max() > height:
                    best, height = around[int(found.argmax())], float(found.max())
            tops.append(height)
        return max(tops) - self.control

    def _truths(self, values: Sequence[Mapping[str, Value]]) -> Floats:
        return self.world.truth(np.array([point_of(dict(each)) for each in values]))

    @cached_property
    def all(self) -> list[Gains]:
        """The gains of each search by each choice, over the repetitions that all have, and of a study that
        trains and chooses its control alone. A search with less than half the repetitions of another is left
        out.

        Raises:
            SystemExit: No study is there, or they share no repetition.
        """
        studies = defaultdict[str, dict[int, Study]](dict)
        wanted = (self.workers, self.world.told, self.budget)
        for study in studies_of(self.world.name):
            if (study.workers, study.runs, study.budget) == wanted:
                studies[study.method][study.repetition] = study
        most = max(map(len, studies.values()), default=0)
        often = {method: by for method, by in studies.items() if 2 * len(by) >= most}
        shared = sorted(set.intersection(*map(set, often.values()))) if often else []
        if not shared:
            raise SystemExit(
                f"bench-search: no repetition of {self.world.name} has studies of all searches with "
                f"{self.workers} workers and {self.budget} trainings: make bench-peers plays them"
            )
        nothing = Gains(CONTROL_ONLY, "-", np.zeros((len(shared), self.budget // EVERY)))
        return [nothing] + [
            Gains(method, choice, np.array([self._gains(by[each], choice) for each in shared]))
            for method, by in often.items()
            for choice in CHOICES
        ]

    def _gains(self, study: Study, choice: str) -> Floats:
        numbers = study.highest if choice == "highest" else study.posterior
        gain = {
            number: self._truths([GROUND.tried(params).values])[0] - self.control
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
            return self.budget / EVERY
        share = (theirs - curve_B[first - 1]) / (curve_B[first] - curve_B[first - 1])
        return float(self.budget / (EVERY * (first + share)))

    def lines(self) -> Iterator[str]:
        """Yield what is to be printed."""
        repetitions = len(self.all[0].gains_RB)
        yield (
            f"{self.world.name}: {repetitions} repetitions, {self.workers} workers; the best config "
            f"found gains {self.attainable:+.4f}"
        )
        budgets = [each for each in SHOWN if each < self.budget] + [self.budget]
        gains = " | ".join(f"gain at {each}" for each in budgets)
        yield (
            f"| search | chosen by | {gains} | share of the attainable "
            f"| worse than the control at {', '.join(map(str, budgets))} |"
        )
        yield "|---|---|" + "--:|" * (len(budgets) + 2)
        for each in sorted(self.all, key=lambda gains: -gains.at(self.budget).mean()):
            cells = [shown(each.at(budget)) for budget in budgets]
            share = each.at(self.budget).mean() / self.attainable
            worse = ", ".join(f"{(each.at(budget) < 0).mean():.0%}" for budget in budgets)
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
                    f"{each.method}: what the best peer has at {self.budget}, {now:.1f} times sooner (lower "
                    f"bound of 95 %: {low:.1f}; 0: never)"
                )


def shown(values: Floats) -> str:
    """Return a mean and its standard error."""
    return f"{values.mean():+.4f} ± {values.std(ddof=1) / len(values) ** 0.5:.4f}"
