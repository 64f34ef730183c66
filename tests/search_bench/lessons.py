"""What a study in virtual time learns from: one of the service's own on another table, played before it."""

from functools import cache

import numpy as np
from optuna.trial import TrialState

from search.posterior.belief import Believer, Run
from search.study.learned import LearnedRun, LearnedStudy, Lessons
from search_bench.parts import GROUND
from search_bench.surrogate import Surrogate
from search_bench.virtual import ours, play
from spaces.pruning import NoPruning
from spaces.sampler import Sampler

WORKERS, BUDGET = 2, 40  # of the study before
EPOCHS = GROUND.epochs


@cache
def world_of(table: str) -> Surrogate:
    """Return the world of all that is recorded of a table on its own split."""
    return Surrogate(table)


def lessons_of(table: str, seed: int) -> Lessons:
    """Return what a study has learned that this seed played on a table."""
    method = ours("model", Sampler.MODEL, NoPruning(), BUDGET)
    trained = play(method, world_of(table), workers=WORKERS, budget=BUDGET, seed=seed)
    whole = [each for each in trained if each.state is TrialState.COMPLETE]
    runs = [Run(each.values, np.array(each.scores)) for each in whole]
    control = Believer(GROUND.coordinates, runs, EPOCHS).of([]).means_C[-1]
    learned = LearnedStudy(
        study=table,
        epochs=EPOCHS,
        control=float(control),
        runs=tuple(
            LearnedRun(params=each.params, scores=tuple(each.scores), whole=True) for each in whole
        ),
    )
    return Lessons(asked=table, studies=(learned,))
