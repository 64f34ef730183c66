"""Trials that are judged once at each rung, after so many epochs."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial

# system attribute of a trial, with the rung's epoch: whether it ends, and by what
JUDGED = "judged at epoch "

# how many epochs a trial trains with a part of its network held as it was
FrozenOf = Callable[[FrozenTrial], int]


def never_frozen(_: FrozenTrial) -> int:
    """Return that a trial trains all of its network from the first epoch on."""
    return 0


class RungPruner(BasePruner):
    """Judges a trial once at each rung, when it comes there; the verdict is noted before anybody hears
    it, and stands, whoever asks for it again.

    At rungs that come before the end of its freeze (``frozen_of``) it is not judged: what a network
    reaches with its encoder held says little of what it will reach.
    """

    rungs: tuple[int, ...]
    frozen_of: FrozenOf

    @abstractmethod
    def verdict(self, study: Study, trial: FrozenTrial, rung: int) -> dict[str, Any]:
        """Return what is to be noted of a trial at a rung: ``ends``, and by what."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether the trial must end at a rung that it has come to."""
        frozen = self.frozen_of(trial)
        return any(
            self._ends(study, trial, rung)
            for rung in self.rungs
            if rung in trial.intermediate_values and rung > frozen
        )

    def _ends(self, study: Study, trial: FrozenTrial, rung: int) -> bool:
        if noted := trial.system_attrs.get(f"{JUDGED}{rung}"):
            return bool(noted["ends"])
        verdict = self.verdict(study, trial, rung)
        study._storage.set_trial_system_attr(trial._trial_id, f"{JUDGED}{rung}", verdict)
        trial.system_attrs[f"{JUDGED}{rung}"] = verdict
        return bool(verdict["ends"])
