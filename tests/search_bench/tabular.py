"""A table's own configs as a world: what a search proposes is trained as the nearest of them that the study has not tried,
and scores as one of its recorded runs did. No model makes scores here, and nothing lies beyond what was recorded.

A config is worth what fresh seeds and splits have shown, where the table has them; else the mean of a Gaussian process
over all runs but the one that the study has seen (and the one that it has seen of the control), times the share of such
leads that fresh splits have left of those that they were asked about: a table's own split flatters all of them alike.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from search.posterior.carried import final_score
from search_bench.parts import GROUND
from search_bench.plans import ALL, CONTROL, plan_of
from search_bench.runs import runs_of
from search_bench.surrogate import Surrogate
from search_bench.virtual import Offer
from spaces.values import Value

Floats = npt.NDArray[np.float64]


class NoneLeftError(Exception):
    """A search wants more configs than a table has; the message says how many that are."""


class Tabular:
    """A table whose configs with two runs or more are all that can be trained; of its first ``told`` runs, or of all."""

    kept_as = "tabular"

    def __init__(self, name: str, told: int = 0) -> None:
        self.name = name
        self.smooth = Surrogate(name, told=told)
        self.told, self.epochs = self.smooth.told, self.smooth.epochs
        params = {each.config: each.params for each in plan_of(ALL[name])}
        self._params = [params[config] for config in self.smooth.configs]
        self.values = [GROUND.tried(each).values for each in self._params]
        self.offered = np.flatnonzero(self.smooth.runs_C > 1)
        self.control = self.smooth.configs.index(CONTROL)

    def offer(self) -> Offer:
        """Return what a new study trains for its proposals: no config twice. It raises `NoneLeftError` where all are tried."""
        left = list(self.offered)

        def nearest(params: Mapping[str, object]) -> Mapping[str, object]:
            if not left:
                raise NoneLeftError(f"all {len(self.offered)} configs of {self.name} are tried")
            place = min(
                left, key=dict(zip(left, self._squared(params, left), strict=True)).__getitem__
            )
            left.remove(place)
            return self._params[place]

        return nearest

    def cost(self, params: Mapping[str, object]) -> float:
        """Return 1: trainings are counted."""
        return 1.0

    def run(self, values: Mapping[str, Value], seed: int, number: int) -> Floats:
        """Return the scores (E,) of a study's trial, which are those of one of its config's runs."""
        place = self._place(values)
        return np.asarray(self.smooth.curves[place][self._seen(place, seed, number)])

    def gain(self, values: Mapping[str, Value], seed: int, number: int) -> float:
        """Return what a config is worth over the control, by what the study has not seen."""
        place = self._place(values)
        return self.worth(place, self._seen(place, seed, number), self._seen(self.control, seed, 0))

    def worth(self, place: int, run: int, control_run: int) -> float:
        """Return what a config is worth over the control, where these runs of the two have been seen."""
        if place == self.control:
            return 0.0
        if (config := self.smooth.configs[place]) in self.fresh:
            return self.fresh[config]
        truths_C = self.truths({place: run, self.control: control_run})
        return self.share_left * float(truths_C[place] - truths_C[self.control])

    @cached_property
    def fresh(self) -> Mapping[str, float]:
        """What configs gain over the control with fresh seeds and splits; of all runs that are recorded, since no study
        sees them. A score is taken for the sum of a config's part and a split's, by least squares: not every config was
        trained on every split.
        """
        runs, turns = (
            runs_of(self.name),
            {each.number: each.turn for each in plan_of(ALL[self.name])},
        )
        fresh = [run for run in runs.values() if turns[run.number]]
        if not fresh:
            return {}
        configs, which = np.unique([run.config for run in fresh], return_inverse=True)
        splits, on = np.unique([turns[run.number] for run in fresh], return_inverse=True)
        design = np.hstack([np.eye(len(configs))[which], np.eye(len(splits))[on]])
        scores = np.array([final_score(run.scores_E) for run in fresh])
        parts = dict(zip(configs, np.linalg.lstsq(design, scores)[0], strict=False))
        control = parts.pop(CONTROL)
        return {str(config): float(part - control) for config, part in parts.items()}

    @cached_property
    def share_left(self) -> float:
        """What fresh splits leave of a lead on the table's own: by least squares through the origin, 0 to 1; 1 where
        nobody has asked.
        """
        truths_C = self.truths({})
        places = [place for place, config in enumerate(self.smooth.configs) if config in self.fresh]
        if not places:
            return 1.0
        leads = truths_C[places] - truths_C[self.control]
        left = np.array([self.fresh[self.smooth.configs[place]] for place in places])
        return float(np.clip(leads @ left / (leads @ leads), 0.0, 1.0))

    @cached_property
    def attainable(self) -> float:
        """What the best of its configs gains over the control; a little too much, since it is the highest of many that are
        known by few runs.
        """
        truths_C = self.truths({})
        gains = self.share_left * (truths_C[self.offered] - truths_C[self.control])
        configs = [self.smooth.configs[place] for place in self.offered]
        return max(
            self.fresh.get(config, float(gain)) for config, gain in zip(configs, gains, strict=True)
        )

    def truths(self, taken: Mapping[int, int]) -> Floats:
        """Return the final scores (C,) that are expected of all configs when one run of some of them is taken away."""
        means_C, runs_C = self.smooth.finals_C.copy(), self.smooth.runs_C.copy()
        for place, run in taken.items():
            finals = [final_score(each) for each in self.smooth.curves[place]]
            means_C[place] = np.mean([each for n, each in enumerate(finals) if n != run])
            runs_C[place] -= 1
        scales, points_CD = self.smooth.scales, self.smooth.points_CD
        covariance_CC = scales.amplitude**2 * scales.correlation(points_CD, points_CD)
        factor = cho_factor(covariance_CC + np.diag(scales.noise**2 / runs_C + 1e-8), lower=True)
        inverse_C = cho_solve(factor, np.ones(len(means_C)))
        level = inverse_C @ means_C / inverse_C.sum()
        return np.asarray(level + covariance_CC @ cho_solve(factor, means_C - level))

    def _squared(self, params: Mapping[str, object], places: Sequence[int]) -> Floats:
        """Return the squared distances of a config to others, each field by its range."""
        point_D = GROUND.coordinates.of(GROUND.tried(params).values)
        others_ND = self.smooth.points_CD[list(places)]
        fields = enumerate(GROUND.coordinates.fields.values())
        return np.sum(
            [field.squared(point_D[None, d], others_ND[:, d])[0] for d, field in fields], axis=0
        )

    def _place(self, values: Mapping[str, Value]) -> int:
        point_D = GROUND.coordinates.of(values)
        return int(np.abs(self.smooth.points_CD - point_D).sum(axis=1).argmin())

    def _seen(self, place: int, seed: int, number: int) -> int:
        return int(np.random.default_rng((seed, number)).integers(self.smooth.runs_C[place]))
