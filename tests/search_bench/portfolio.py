"""Steps from the control that are worth a trial on data that nobody has seen, by the recorded tables.

A step is a change of one field, or of two or three that are good by themselves, or what a good recorded config differs by,
less the changes that it can do without. A portfolio of steps is worth, on a table, what the best of its configs is expected
to gain over the control: a mean over draws from the posterior of the table's runs, so that steps which are good in the same
worlds add nothing to each other. It is built greedily, the step first that adds most on the tables together.

Source: Feurer et al. 2022 (Auto-Sklearn 2.0: Hands-free AutoML via Meta-Learning), algorithm 1, for greedy portfolios.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from objectives.errors import ProblemsError
from search.posterior.belief import Believer
from search_bench.parts import GROUND, believer_of
from search_bench.plans import CONTROL, Planned, Table, plan_of
from search_bench.runs import runs_of
from spaces.dice import value_at
from spaces.domains import Choice, Float, Int, Weight
from spaces.values import Scalar, Value, token

Floats = npt.NDArray[np.float64]
Step = Mapping[str, Scalar]  # parameters

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of a range, at which its values are tried
TOGETHER = 24  # single changes that are combined, those that are believed best
DRAWS = 400
SIZE = 8
GOOD = 24  # recorded configs that are looked at, those that are believed best
SPARED = 0.001  # of what a step gains, for which it is made simpler
EVEN = 0.5  # the weight of a term of the loss that a step adds


@dataclass(frozen=True)
class Gains:
    """What steps are believed to gain on a table: means and deviations (S,), and draws (D, S) of them all."""

    means_S: Floats
    sds_S: Floats
    draws_DS: Floats


@dataclass(frozen=True)
class StepsFrom:
    """Steps from one config, and what they are believed to gain over it."""

    control: Step  # its parameters

    def looked_at(self, tables: Sequence[Table]) -> list[Step]:
        """Return the steps that are looked at: single changes, what is best of them together, and recorded configs."""
        singles = self.changes()
        means = self.mean_gains(tables, singles)
        best = [singles[int(place)] for place in np.argsort(-means)[:TOGETHER]]
        others = rounded([step for table in tables for step in self.recorded(plan_of(table))])
        means = self.mean_gains(tables, others)
        good = [others[int(place)] for place in np.argsort(-means)[:GOOD]]
        return [*singles, *combined(best), *(self.simplified(step, tables) for step in good)]

    def changes(self) -> list[Step]:
        """Return the changes of single fields."""
        found: list[Step] = []
        for name, domain in GROUND.space.domains.items():
            match domain:
                case Choice(options):
                    values: Sequence[Scalar] = [token(option) for option in options]
                case Int(low, high):
                    values = range(low, high + 1)
                case Float(low, high, log):
                    values = [
                        float(f"{value_at(share, low, high, log=log):.2g}") for share in SHARES
                    ]
                case Weight(optional=True):
                    on = not self.control[f"{name}.on"]
                    found.append({f"{name}.on": on, **({f"{name}.weight": EVEN} if on else {})})
                    continue
                case _:
                    continue
            found += [{name: value} for value in values if value != self.control.get(name)]
        return [step for step in found if self._is_read(step)]

    def recorded(self, plan: Sequence[Planned]) -> list[Step]:
        """Return what the configs of a plan differ by."""
        params = {each.config: each.params for each in plan if each.config != CONTROL}
        return [
            {name: value for name, value in each.items() if self.control.get(name) != value}
            for each in params.values()
        ]

    def simplified(self, step: Step, tables: Sequence[Table]) -> Step:
        """Return a step without the changes that add nothing to what it gains on the tables: one after the other the
        least, as long as all of them together gave `SPARED`.
        """
        floor = float(self.mean_gains(tables, [step])[0]) - SPARED
        while len(step) > 1:
            fewer = [
                found
                for name in step
                if self._is_read(found := {other: step[other] for other in step if other != name})
            ]
            means = self.mean_gains(tables, fewer)
            if not fewer or means.max() < floor:
                break
            step = fewer[int(means.argmax())]
        return step

    def mean_gains(self, tables: Sequence[Table], steps: Sequence[Step]) -> Floats:
        """Return what steps are believed to gain, in the mean over tables (S,)."""
        found = np.zeros(len(steps))
        for table in tables:
            means_C = believer_on(table).of(self._configs(steps)).means_C[:-1]
            found += (means_C[:-1] - means_C[-1]) / len(tables)
        return found

    def gains(self, table: Table, steps: Sequence[Step]) -> Gains:
        """Return what steps gain on a table, as far as its runs on its own split tell."""
        posterior = believer_on(table).of(self._configs(steps)).posterior
        leads = np.eye(len(steps), len(posterior.means_C))
        leads[:, len(steps)] = -1.0
        means_S = leads @ posterior.means_C
        covariances_SS = leads @ posterior.covariances_CC @ leads.T
        values, vectors = np.linalg.eigh(covariances_SS)
        normal_DS = np.random.default_rng(0).normal(size=(DRAWS, len(means_S)))
        spread_SS = vectors * np.sqrt(np.maximum(values, 0.0))
        return Gains(
            means_S,
            np.sqrt(np.maximum(np.diagonal(covariances_SS), 0.0)),
            means_S + normal_DS @ spread_SS.T,
        )

    def commended(self, tables: Sequence[Table], size: int = SIZE) -> list[Step]:
        """Return the parameters of the steps that the tables commend, the first first."""
        steps = self.looked_at(tables)
        chosen = portfolio([self.gains(table, steps) for table in tables], size)
        return [{**self.control, **steps[place]} for place in chosen]

    def _configs(self, steps: Sequence[Step]) -> list[Mapping[str, Value]]:
        """Return the values of steps, and then of what they are from."""
        return [GROUND.tried({**self.control, **step}).values for step in (*steps, {})]

    def _is_read(self, step: Step) -> bool:
        """Return whether a config changes by a step."""
        try:
            step_values, values = self._configs([step])
        except ProblemsError:
            return False
        return bool(step_values != values)


def combined(singles: Sequence[Step], most: int = 3) -> list[Step]:
    """Return all that so many single changes of different fields make together, at most ``most`` at a time."""
    found: list[Step] = []
    for size in range(2, most + 1):
        for steps in combinations(singles, size):
            step = {name: value for each in steps for name, value in each.items()}
            if len(step) == sum(map(len, steps)):
                found.append(step)
    return found


def rounded(steps: Sequence[Step]) -> list[Step]:
    """Return steps with two digits of each number."""
    return [
        {
            name: float(f"{value:.2g}") if isinstance(value, float) else value
            for name, value in step.items()
        }
        for step in steps
    ]


@functools.cache
def believer_on(table: Table) -> Believer:
    """Return what a table's runs on its own split tell."""
    told = runs_of(table.name)
    plan = [each for each in plan_of(table) if each.number in told and not each.turn]
    return believer_of(plan, told)


def portfolio(gains: Sequence[Gains], size: int) -> list[int]:
    """Return the places of the steps that together are worth most on the tables, the first first."""
    chosen: list[int] = []
    best = [np.zeros(len(each.draws_DS)) for each in gains]
    for _ in range(size):
        worth_S = sum(
            np.maximum(best_D[:, None], each.draws_DS).mean(axis=0)
            for best_D, each in zip(best, gains, strict=True)
        )
        place = int(np.argmax(worth_S))
        chosen.append(place)
        best = [
            np.maximum(best_D, each.draws_DS[:, place])
            for best_D, each in zip(best, gains, strict=True)
        ]
    return chosen


def worth(gains: Gains, chosen: Sequence[int]) -> float:
    """Return what the best of some steps, or the control, is expected to gain."""
    return float(np.maximum(gains.draws_DS[:, list(chosen)].max(axis=1), 0.0).mean())
