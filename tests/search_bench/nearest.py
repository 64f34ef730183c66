"""A table as a world without a model: whatever is proposed scores as the nearest recorded config has.

What a study sees of a config and what judges it are different runs of it. Such a world has no config that
the table lacks and steps between those it has, so that it says less of a search than a surrogate; but where a
surrogate is wrong, it is not.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from search.posterior.carried import final_score
from search.process.messages import Cause
from search_bench.parts import GROUND
from search_bench.plans import ALL, CONTROL, plan_of
from search_bench.runs import runs_of

Floats = npt.NDArray[np.float64]


class Nearest:
    """The recorded runs as one study meets them: of each config half of those on the table's own split,
    drawn by ``repetition``, are seen, and the others judge it.
    """

    def __init__(self, table: str, repetition: int) -> None:
        plan = plan_of(ALL[table])
        params = {each.config: each.params for each in plan}
        recorded = runs_of(table)
        self.name = f"{table}-nearest"
        self.told = len(recorded)
        self.epochs = GROUND.epochs
        self.control = GROUND.coordinates.of({})
        self.configs: list[str] = []
        self.seen: list[Floats] = []  # curves (R, E) of each config
        self.judging: list[Floats] = []
        dice = np.random.default_rng((repetition, len(plan)))
        for config in params:
            runs = [
                run.scores_E
                for each in plan
                if each.config == config
                and not each.turn
                and (run := recorded.get(each.number)) is not None
                and run.cause == Cause.COMPLETED
            ]
            if len(runs) < 2:  # nothing else could judge it
                continue
            mixed = [runs[int(place)] for place in dice.permutation(len(runs))]
            self.configs.append(config)
            self.seen.append(np.array(mixed[: len(runs) // 2]))
            self.judging.append(np.array(mixed[len(runs) // 2 :]))
        self.points_CD = np.array(
            [GROUND.coordinates.of(GROUND.tried(params[config]).values) for config in self.configs]
        )
        assert self.configs[0] == CONTROL

    def places(self, points_ND: Floats) -> npt.NDArray[np.intp]:
        """Return the place (N,) of the nearest config of each point."""
        return np.argmin(GROUND.coordinates.distances(points_ND, self.points_CD), axis=1)

    def run(self, point_D: Floats, dice: np.random.Generator) -> Floats:
        """Return the scores (E,) of a run that is seen."""
        return np.asarray(dice.choice(self.seen[int(self.places(point_D[None])[0])]))

    @cached_property
    def truths_C(self) -> Floats:
        """The mean final score of each config's other runs."""
        return np.array([np.mean([*map(final_score, runs)]) for runs in self.judging])

    def truth(self, points_ND: Floats) -> Floats:
        """Return what configs (N,) are worth by the runs that nobody has seen."""
        return self.truths_C[self.places(points_ND)]

    @cached_property
    def attainable(self) -> float:
        """What the config of the highest mean of the seen runs gains by the others: the luck by which it
        was chosen is not in it.
        """
        seen_C = [np.mean([*map(final_score, runs)]) for runs in self.seen]
        best = int(np.argmax(seen_C))
        return float(self.truths_C[best] - self.truth(self.control[None])[0])
