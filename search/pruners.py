"""The pruner that keeps the best few after one epoch: the honest cheap baseline of multi-fidelity search."""

from typing import final

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


@final
class TopKPruner(BasePruner):
    """Prunes a trial whose score after ``epoch`` is not among the ``keep`` best scores that the study has so far.

    A running trial that others overtake ends at its next report; one that has ended stays. So more than ``keep`` may go to
    their end, about ``keep * (1 + ln(trials / keep))`` when trials come one after the other in random order. Equal scores:
    the lower number.

    Source: Egele et al. 2023, Is one epoch all you need for multi-fidelity hyperparameter optimization? (arXiv:2307.15422)
    """

    def __init__(self, *, epoch: int, keep: int) -> None:
        self.epoch = epoch
        self.keep = keep

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial must end."""
        if self.epoch not in trial.intermediate_values:
            return False
        own = (-trial.intermediate_values[self.epoch], trial.number)
        others = (other for other in study.get_trials(deepcopy=False) if other.state != TrialState.FAIL)  # takes no place
        scores = [
            (-other.intermediate_values[self.epoch], other.number)
            for other in others
            if self.epoch in other.intermediate_values
        ]
        return sum(score < own for score in scores) >= self.keep
