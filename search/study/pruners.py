"""The pruners of a space: successive halving with rungs of its own, what the model gives up, and the best
few after one epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never, final

from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, text

from search.posterior.ground import SpaceGround
from search.posterior.sampler import Known
from search.study.rungs import FrozenOf, RungPruner, never_frozen
from search.study.stopping import KnownWith, ModelPruner, known_with
from spaces import Fixed, FromParams, Space
from spaces.pruning import Halving, ModelStopping, NoPruning, TopK

FROZEN_EPOCHS = "train.frozen_epochs"
REDUCTION = 3  # one in so many goes on from a rung

# a study's scores after an epoch, negative, with the trials' numbers; a failed trial takes no place
Scores = list[tuple[float, int]]

AT_EPOCH = text("""
    SELECT -intermediate_value, number FROM trials JOIN trial_intermediate_values USING (trial_id)
    WHERE study_id = :study_id AND step = :epoch AND state <> 'FAIL'
""")


@final
class HalvingPruner(RungPruner):
    """At each rung, the best third of the scores that the study has there by now go on: ``ceil(n /
    3)`` of n, its own included.

    Those who come first are judged among few: rounded up, one of 1 to 3 goes on, two
    of 4 to 6. Rounded down, as in `optuna.pruners.SuccessiveHalvingPruner`, a study of 30 trials
    ends with hardly any that has been trained whole. Equal scores: the lower number.

    Source: Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning
    (arXiv:1810.05934), algorithm 2, with trials that are stopped instead of paused.
    """

    def __init__(
        self,
        rungs: tuple[int, ...],
        scores_at: Callable[[Study, int], Scores] | None = None,
        frozen_of: FrozenOf = never_frozen,
    ) -> None:
        self.rungs = rungs
        self.frozen_of = frozen_of
        self.scores_at = scores_at or scores_of

    def verdict(self, study: Study, trial: FrozenTrial, rung: int) -> dict[str, Any]:
        """Return its score, and whether it is none of the best third."""
        score = trial.intermediate_values[rung]
        scores = self.scores_at(study, rung)
        ends = _better(scores, (-score, trial.number)) >= -(-len(scores) // REDUCTION)
        return {"score": score, "ends": ends}


@final
class TopKPruner(BasePruner):
    """Prunes a trial whose score after ``epoch`` is not among the ``keep`` best scores that the
    study has so far.

    A running trial that others overtake ends at its next report; one that has ended stays. So more
    than ``keep`` may go to their end, about ``keep * (1 + ln(trials / keep))`` when trials come one
    after the other in random order. Equal scores: the lower number. One that is still frozen at
    ``epoch`` (``frozen_of``) goes on.

    Source: Egele et al. 2023, Is one epoch all you need for multi-fidelity hyperparameter
    optimization? (arXiv:2307.15422)
    """

    def __init__(
        self,
        *,
        epoch: int,
        keep: int,
        scores_at: Callable[[Study, int], Scores] | None = None,
        frozen_of: FrozenOf = never_frozen,
    ) -> None:
        self.frozen_of = frozen_of
        self.epoch = epoch
        self.keep = keep
        self.scores_at = scores_at or scores_of

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether the trial must end."""
        if self.epoch not in trial.intermediate_values or self.epoch <= self.frozen_of(trial):
            return False
        own = (-trial.intermediate_values[self.epoch], trial.number)
        return _better(self.scores_at(study, self.epoch), own) >= self.keep


def scores_of(study: Study, epoch: int) -> Scores:
    """Return the scores after an epoch of any study of Optuna's, which reads all of it."""
    trials = (trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL)
    return [
        (-trial.intermediate_values[epoch], trial.number)
        for trial in trials
        if epoch in trial.intermediate_values
    ]


def read_scores(engine: Engine, study_id: int, _: Study, epoch: int) -> Scores:
    """Return the same of a study in a database, reading nothing else."""
    with engine.connect() as connection:
        rows = connection.execute(AT_EPOCH, {"study_id": study_id, "epoch": epoch})
        return [(score, number) for score, number in rows]


def _better(scores: Scores, own: tuple[float, int]) -> int:
    return sum(score < own for score in scores)


@dataclass(frozen=True)
class Judging:
    """What ends the trials of a space early, and the epochs after which a trial is sure to be
    judged, and therefore saved.
    """

    pruner: BasePruner
    rungs: tuple[int, ...] = ()


def judging(
    space: Space,
    scores_at: Callable[[Study, int], Scores] | None = None,
    known: KnownWith | None = None,
) -> Judging:
    """Return how the trials of a space are judged before their end. ``scores_at`` reads a study's
    scores after an epoch, ``known`` what its trials say; without them Optuna reads the whole study.
    """
    epochs = space.default().train.epochs
    frozen_of = partial(_frozen, space) if _freezes(space) else never_frozen
    match space.pruning:
        case Halving():
            rungs = halving_rungs(epochs)
            return Judging(HalvingPruner(rungs, scores_at, frozen_of), rungs)
        case NoPruning():
            return Judging(NopPruner())
        case ModelStopping(below=below):
            known = known or partial(_known, SpaceGround(space))
            pruner = ModelPruner(known, below, epochs=epochs, frozen_of=frozen_of)
            return Judging(pruner, pruner.rungs)
        case TopK(epoch=epoch, keep=keep):
            return Judging(
                TopKPruner(epoch=epoch, keep=keep, scores_at=scores_at, frozen_of=frozen_of),
                (epoch,),
            )
        case _:
            assert_never(space.pruning)


def _freezes(space: Space) -> bool:
    """Return whether some trial of a space holds a part of its network at first."""
    return space.domains.get(FROZEN_EPOCHS, Fixed(0)) != Fixed(0)


def _frozen(space: Space, trial: FrozenTrial) -> int:
    """Return in how many epochs a trial of a space does."""
    return space.draw(FromParams(trial.params)).train.frozen_epochs


def _known(ground: SpaceGround, study: Study, trial: FrozenTrial) -> Known:
    return known_with(ground, study, trial, study.get_trials(deepcopy=False))


def halving_rungs(epochs: int) -> tuple[int, ...]:
    """Return the rungs of one bracket of successive halving: the warm-up's last epoch, and its
    triples.

    None lies in the second half: there a verdict saves little, and costs a trial that is all but
    trained.
    """
    first = max(2, epochs // 9)
    return tuple(first * REDUCTION**i for i in range(20) if first * REDUCTION**i <= epochs / 2) or (
        first,
    )
