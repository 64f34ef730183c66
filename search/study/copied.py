"""A trial as another study gets it."""

from dataclasses import replace
from math import isclose
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from search.posterior.draws import FromTrial
from search.process.messages import Cause
from search.study.record import AGAIN, Notes, Original
from search.study.rungs import JUDGED
from search.study.stored import Study
from spaces import Space

# of the attributes of Optuna and its pruner: the border of what works, and verdicts
KEPT = ("constraints", JUDGED)


def unusable(trial: FrozenTrial) -> str:
    """Return why a trial has nothing to tell; empty when it has."""
    match trial.state:
        case TrialState.COMPLETE | TrialState.PRUNED:
            return "" if Notes.of(trial).cause else "ended by somebody else than a worker"
        case TrialState.FAIL:
            return "failed"
        case _:
            return "not ended yet"


def copy_of(old: Study, trial: FrozenTrial, space: Space, params: dict[str, Any]) -> FrozenTrial:
    """Return a trial of another study with the parameters that it has in this one's space."""
    drawn = FixedTrial(params)
    space.draw(FromTrial(drawn))  # asks for each parameter, and so records its distribution
    notes = replace(
        Notes.of(trial),
        original=Original(old.spec.name, trial.number, old.seed_of(trial)),
        believed=None,
    )
    # its constraint teaches the sampler; the new budget counts its own alone
    if notes.cause == Cause.INFEASIBLE:
        notes = replace(notes, cause=f"{Cause.INFEASIBLE} in {old.spec.name}")
    if notes.recipe in ("control", AGAIN):
        notes = replace(notes, recipe=f"{notes.recipe} of {old.spec.name}")
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=trial.value,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=drawn.params,
        distributions=drawn.distributions,
        user_attrs=notes.attributes(),
        system_attrs={
            key: value for key, value in trial.system_attrs.items() if key.startswith(KEPT)
        },
        intermediate_values=trial.intermediate_values,
        trial_id=trial._trial_id,
    )


def is_control(copy: FrozenTrial, space: Space) -> bool:
    """Return whether a copy is the space's control; weights of a loss may differ in their last
    digit.
    """
    pairs = [(copy.params.get(name), value) for name, value in space.control.items()]
    equal = all(
        isclose(a, b) if isinstance(a, float) and isinstance(b, float) else a == b for a, b in pairs
    )
    return copy.state == TrialState.COMPLETE and equal and len(copy.params) == len(pairs)
