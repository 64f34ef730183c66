"""Which trials are not worth to be trained on, by what the posterior of all runs expects of them."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, final

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr

from search.posterior.belief import Learned
from search.posterior.ground import Ground
from search.posterior.networks import Networks
from search.posterior.sampler import Known
from search.posterior.telling import told_among
from search.study.rungs import FrozenOf, RungPruner, never_frozen

# before so many trials are complete, what lies three deviations below the best of them is stopped
COMPLETE_RUNS = 3
DISASTER = 0.00135
EARLY = 0.05  # at a ninth of the training, while the rate still rises, nothing more than that is

KnownWith = Callable[[Study, FrozenTrial], Known]


@final
class ModelPruner(RungPruner):
    """At each rung a trial ends whose network is too improbable to become truly better than what the best
    one that is complete is believed to be: ``P(f > max m) < p``, by the posterior of all runs, early ones
    carried to their end.

    Rungs are at a ninth of ``epochs``, where p is 0.05 at most, at a third and at half of them.
    ``known_with`` tells what a study's trials say beside one that it is given.

    Source: Domhan et al. 2015 (Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks
    by Extrapolation of Learning Curves), section 3.3, with one model of all configs and curves instead of
    one of each curve.
    """

    def __init__(
        self,
        known_with: KnownWith,
        p: float,
        *,
        epochs: int,
        frozen_of: FrozenOf = never_frozen,
    ) -> None:
        self.frozen_of = frozen_of
        self.below = rungs_of(epochs, p)
        self.rungs = tuple(self.below)
        self.known_with = known_with

    def verdict(self, study: Study, trial: FrozenTrial, rung: int) -> dict[str, Any]:
        """Return the probability that its network becomes the best, and whether that is too little; a
        trial of which the model knows nothing goes on.
        """
        judged = _until(trial, rung)
        known = self.known_with(study, judged)
        complete = [
            place
            for place, source in enumerate(known.sources)
            if source.state == TrialState.COMPLETE
        ]
        if not complete or not known.sources or known.sources[-1] is not judged:
            return {"ends": False}
        chance = _becomes_best(known, len(known.sources) - 1, complete)
        limit = self.below[rung] if len(complete) >= COMPLETE_RUNS else DISASTER
        return {"p": round(chance, 6), "ends": chance < limit}


def rungs_of(epochs: int, p: float) -> dict[int, float]:
    """Return the rungs of trainings of so many epochs, with the probability below which a trial ends."""
    found = {max(2, epochs // 9): min(p, EARLY)}
    found |= {rung: p for rung in (epochs // 3, epochs // 2) if rung > 2}
    return {rung: below for rung, below in sorted(found.items()) if rung < epochs}


def _becomes_best(known: Known, own: int, complete: Sequence[int]) -> float:
    told = sorted({*told_among(known.sources), own})
    places = [own, *complete]
    configs = [known.runs[place].values for place in places]
    networks = Networks.believed(known.from_runs(told), configs, known.carried.some(places))
    scores = networks.scores(networks.luck(None))
    lead = scores.means_C[0] - float(np.max(scores.means_C[1:]))
    return float(ndtr(lead / max(float(scores.sds_C[0]), 1e-6)))


def _until(trial: FrozenTrial, rung: int) -> FrozenTrial:
    """Return a trial as it was at a rung."""
    then = copy(trial)
    then.intermediate_values = {
        epoch: score for epoch, score in trial.intermediate_values.items() if epoch <= rung
    }
    return then


def known_with(
    ground: Ground,
    study: Study,
    trial: FrozenTrial,
    others: Sequence[FrozenTrial],
    learned: Sequence[Learned] = (),
) -> Known:
    """Return what trials say, and last of all one as it is given."""
    rest = [each for each in others if each.number != trial.number]
    return Known(ground, study, [*rest, trial], learned)
