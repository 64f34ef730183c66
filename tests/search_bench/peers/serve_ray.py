"""Ray Tune's ASHA: its scheduler decides, its own generator of variants draws the configs. No cluster is needed: of
a trial the scheduler reads the id alone, which a stand-in has.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.variant_generator import generate_variants
from serving import PRUNED, RUNNING, serve


@dataclass(frozen=True)
class Trial:
    """A trial as far as the scheduler looks at it."""

    trial_id: str


class Asha:
    """`AsyncHyperBandScheduler` as it comes: rungs at 1, 4, 16 ... epochs, a quarter goes on."""

    def __init__(self, terms: dict[str, Any]) -> None:
        np.random.seed(terms["seed"])  # by which it deals its brackets
        self._dice = np.random.RandomState(terms["seed"])
        self._space = {field["name"]: _domain(field) for field in terms["fields"]}
        self._control = terms["control"]
        self._scheduler = AsyncHyperBandScheduler(
            time_attr="epoch", metric="score", mode="max", max_t=terms["epochs"]
        )
        self._begun = 0

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return a new trial at random, the control first."""
        number, self._begun = self._begun, self._begun + 1
        self._scheduler.on_trial_add(None, Trial(str(number)))
        if not number:
            return number, self._control
        ((_, config),) = generate_variants(self._space, random_state=self._dice)
        return number, config

    def report(self, number: int, scores: list[float]) -> str:
        """Return whether the trial goes on."""
        result = {"epoch": len(scores), "score": scores[-1]}
        said = self._scheduler.on_trial_result(None, Trial(str(number)), result)
        return PRUNED if said == TrialScheduler.STOP else RUNNING


def _domain(field: dict[str, Any]) -> Any:
    match field:
        case {"kind": "choice", "options": options}:
            return tune.choice(options)
        case {"kind": "int", "low": low, "high": high, "log": log}:
            return (tune.lograndint if log else tune.randint)(low, high + 1)
        case {"kind": "float", "low": low, "high": high, "log": log}:
            return (tune.loguniform if log else tune.uniform)(low, high)
    raise ValueError(f"no such field: {field}")


if __name__ == "__main__":
    serve(Asha)
