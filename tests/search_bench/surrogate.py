"""What a config would score that no table has: a world made of a table's runs, whose truth is known.

A Gaussian process for each epoch over the table's configs, whose lengths the final scores choose, gives a
config's true curve; a run of it adds what a run of a near config of the table was off by, all epochs together.
It has nothing of the product's posterior but the coordinates: a judge that thought like one of the judged would
favour it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.stats import spearmanr

from search.posterior.carried import final_score, last_epochs
from search.posterior.ground import Tried
from search.process.messages import Cause
from search_bench.parts import GROUND
from search_bench.plans import ALL, plan_of
from search_bench.runs import Recorded, runs_of
from search_bench.seconds import Seconds
from search_bench.virtual import Offer, as_proposed
from spaces.values import Value

Floats = npt.NDArray[np.float64]
NEIGHBOURS = 5  # configs of which one lends a run's residuals
FOLDS = 10
LENGTH, LENGTH_SD = 1.5, 0.8  # of a field's range, and of its logarithm, a priori
STARTS = 3
ROUNDING = 1e-9  # of a score
CLIMBS, STEPS, AROUND = 8, 40, 50  # for the best config


@dataclass(frozen=True)
class Scales:
    """What is fitted: a length for each field, the amplitude, and the deviation of a run."""

    lengths_D: Floats
    amplitude: float
    noise: float

    def correlation(self, a_ND: Floats, b_MD: Floats) -> Floats:
        """Return the Matern correlation of five halves between points."""
        squared_NM = np.zeros((len(a_ND), len(b_MD)))
        for place, field in enumerate(GROUND.coordinates.fields.values()):
            squared_NM += field.squared(a_ND[:, place], b_MD[:, place]) / self.lengths_D[place] ** 2
        r_NM = np.sqrt(5.0 * squared_NM)
        return np.asarray((1.0 + r_NM + r_NM**2 / 3.0) * np.exp(-r_NM))


class Surrogate:
    """A table as a world: true curves of any config, and runs of it; made of the first ``told`` runs that
    were recorded, or of all.
    """

    kept_as = "choices"

    def __init__(self, name: str, leave_out: Sequence[str] = (), told: int = 0) -> None:
        params = {each.config: each.params for each in plan_of(ALL[name])}
        split = {each.number for each in plan_of(ALL[name]) if not each.turn}
        runs: dict[str, list[Recorded]] = {}
        recorded = list(runs_of(name).values())
        self.told = told or len(recorded)
        if not recorded:
            raise SystemExit(f"{name}: nothing is recorded; make bench-tables TABLE={name} does")
        for run in recorded[: self.told]:
            whole = run.cause == Cause.COMPLETED and run.number in split
            if whole and run.config not in leave_out:
                runs.setdefault(run.config, []).append(run)
        self.name = name
        self.configs = list(runs)
        self.epochs = GROUND.epochs
        coordinates = GROUND.coordinates
        values = [GROUND.tried(params[config]).values for config in self.configs]
        self.points_CD = np.array([coordinates.of(each) for each in values])
        self.curves = [np.array([run.scores_E for run in runs[config]]) for config in self.configs]
        self.runs_C = np.array([len(each) for each in self.curves], float)
        self.means_CE = np.array([each.mean(axis=0) for each in self.curves])
        self.finals_C = np.array([np.mean([*map(final_score, each)]) for each in self.curves])
        self.scales = self._fitted()
        self._solve()

    def true_curves(self, points_ND: Floats) -> Floats:
        """Return the true scores by epoch (N, E) of configs."""
        across_NC = self.scales.correlation(points_ND, self.points_CD)
        return np.asarray(self.level_E + across_NC @ self.weights_CE)

    def truth(self, points_ND: Floats) -> Floats:
        """Return the true scores (N,) of configs at their end."""
        last = last_epochs(self.epochs)
        return np.asarray(self.true_curves(points_ND)[:, -last:].mean(axis=1))

    def offer(self) -> Offer:
        """Return that each proposal is trained as it is."""
        return as_proposed

    def cost(self, params: Mapping[str, object]) -> float:
        """Return 1: trainings are counted."""
        return 1.0

    def run(self, values: Mapping[str, Value], seed: int, number: int) -> Floats:
        """Return the scores (E,) of a study's trial."""
        dice = np.random.default_rng((seed, number))
        point_D = GROUND.coordinates.of(values)
        near_C = -self.scales.correlation(point_D[None], self.points_CD)[0]
        lender = int(dice.choice(np.argsort(near_C, kind="stable")[:NEIGHBOURS]))
        residual_E = dice.choice(self.residuals[lender])
        return np.asarray(np.clip(self.true_curves(point_D[None])[0] + residual_E, 0.0, 1.0))

    def gain(self, values: Mapping[str, Value], seed: int, number: int) -> float:
        """Return what a config truly gains over the control, whatever has been seen of it."""
        gain = float(self.truth(GROUND.coordinates.of(values)[None])[0]) - self.control_score
        return gain if abs(gain) > ROUNDING else 0.0

    @cached_property
    def control_score(self) -> float:
        """The control's true score at its end."""
        return float(self.truth(self.control[None])[0])

    @cached_property
    def control(self) -> Floats:
        """The control's point."""
        return GROUND.coordinates.of({})

    @cached_property
    def attainable(self) -> float:
        """What the best config that is found by climbing gains over the control."""
        dice = random.Random(0)
        near = GROUND.near(GROUND.control, changes=0.5)
        begun = [GROUND.drawn(dice, near) for _ in range(AROUND * CLIMBS)]
        truths = self._truths(begun)
        tops = []
        for place in np.argsort(-truths)[:CLIMBS]:
            best, height = begun[int(place)], float(truths[int(place)])
            for _ in range(STEPS):
                near = GROUND.near(best.params, changes=0.2)
                around = [GROUND.drawn(dice, near) for _ in range(AROUND)]
                found = self._truths(around)
                if found.max() > height:
                    best, height = around[int(found.argmax())], float(found.max())
            tops.append(height)
        return max(tops) - self.control_score

    def _truths(self, configs: Sequence[Tried]) -> Floats:
        return self.truth(np.array([GROUND.coordinates.of(each.values) for each in configs]))

    def _fitted(self) -> Scales:
        """Return the scales of the highest marginal likelihood of the configs' mean final scores, with
        normal priors on the logarithms of the lengths.
        """
        fields = self.points_CD.shape[1]
        centred_C = self.finals_C - self.finals_C.mean()
        spread = float(centred_C.std())
        eye = np.eye(len(centred_C))

        def loss(logs: Floats) -> float:
            scales = Scales(np.exp(logs[:fields]), *np.exp(logs[fields:]))
            covariance_CC = scales.amplitude**2 * scales.correlation(self.points_CD, self.points_CD)
            covariance_CC += eye * (scales.noise**2 / self.runs_C + 1e-8) + spread**2
            lower, _ = factor = cho_factor(covariance_CC, lower=True)
            evidence = centred_C @ cho_solve(factor, centred_C) / 2
            evidence += np.log(np.diagonal(lower)).sum()
            prior = ((logs[:fields] - np.log(LENGTH)) ** 2).sum() / LENGTH_SD**2
            prior += (logs[fields] - np.log(spread)) ** 2 / 0.5**2
            prior += (logs[fields + 1] - np.log(self._noise())) ** 2 / 0.2**2
            return float(evidence + prior / 2)

        dice = np.random.default_rng(0)
        begin = np.log([*np.full(fields, LENGTH), spread, self._noise()])
        found = [
            minimize(loss, begin + 0.3 * start * dice.normal(size=len(begin)), method="L-BFGS-B")
            for start in range(STARTS)
        ]
        logs = min(found, key=lambda each: each.fun).x
        return Scales(np.exp(logs[:fields]), *map(float, np.exp(logs[fields:])))

    def _noise(self) -> float:
        """Return the deviation of a run from its config's others."""
        several = [[*map(final_score, each)] for each in self.curves if len(each) > 1]
        squares = sum(np.var(each, ddof=1) * (len(each) - 1) for each in several)
        return float((squares / sum(len(each) - 1 for each in several)) ** 0.5)

    def _solve(self) -> None:
        covariance_CC = self.scales.amplitude**2 * self.scales.correlation(
            self.points_CD, self.points_CD
        )
        noisy_CC = covariance_CC + np.diag(self.scales.noise**2 / self.runs_C + 1e-8)
        factor = cho_factor(noisy_CC, lower=True)
        ones_C = np.ones(len(noisy_CC))
        inverse_C = cho_solve(factor, ones_C)
        self.level_E = inverse_C @ self.means_CE / inverse_C.sum()
        solved_CE = cho_solve(factor, self.means_CE - self.level_E)
        self.weights_CE = self.scales.amplitude**2 * solved_CE
        true_CE = self.true_curves(self.points_CD)
        self.residuals = [
            curves_RE - true_E for curves_RE, true_E in zip(self.curves, true_CE, strict=True)
        ]


class Priced(Surrogate):
    """The same, where a training costs its seconds: a budget is in trainings of the control."""

    kept_as = "priced"

    def cost(self, params: Mapping[str, object]) -> float:
        """Return what a config's training takes, in trainings of the control."""
        return self._seconds.cost(params)

    @cached_property
    def _seconds(self) -> Seconds:
        return Seconds.of_table(self.name)


@dataclass(frozen=True)
class Quality:
    """How well a surrogate tells configs that it has not seen: rank correlations, and how many configs
    each is of.
    """

    all: tuple[float, int]
    best_quarter: tuple[float, int]
    near_control: tuple[float, int]


def quality(name: str, told: int = 0) -> Quality:
    """Return the cross-validated rank correlation of the surrogate of a table, or of its first ``told`` runs, with the
    recorded final scores, over all configs, the best quarter, and those around the control.
    """
    whole = Surrogate(name, told=told)
    told_C = np.full(len(whole.configs), np.nan)
    order = np.random.default_rng(0).permutation(len(whole.configs))
    for fold in range(FOLDS):
        left = order[fold::FOLDS]
        others = Surrogate(name, [whole.configs[place] for place in left], told)
        told_C[left] = others.truth(whole.points_CD[left])
    finals_C = whole.finals_C
    best_C = finals_C >= np.quantile(finals_C, 0.75)
    near_C = np.array([not config.startswith("uniform") for config in whole.configs])
    return Quality(
        *(
            _correlation(told_C[which], finals_C[which])
            for which in (np.ones(len(told_C), bool), best_C, near_C)
        )
    )


def _correlation(told_C: Floats, seen_C: Floats) -> tuple[float, int]:
    return float(spearmanr(told_C, seen_C).statistic), len(told_C)
