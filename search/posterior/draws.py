"""Drawing a config from an Optuna trial; on a resumed trial every parameter comes back as
it was.
"""

from collections.abc import Sequence
from typing import Any

import optuna


class FromTrial:
    """The source of a space's values that asks Optuna's sampler, and records each value in the
    trial.
    """

    def __init__(self, trial: optuna.trial.BaseTrial) -> None:
        self.trial = trial

    def int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number in [low, high]."""
        return self.trial.suggest_int(name, low, high, step=step, log=log)

    def float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number in [low, high]."""
        return self.trial.suggest_float(name, low, high, log=log)

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        return self.trial.suggest_categorical(name, options)
