"""``search confirm``: the best trials of a study and its control, trained again with other seeds, in a study of its own.

The best of many noisy scores is high partly by luck. What is trained again, for every candidate with the same seeds and on the
same parts, and scored at its last epoch, was chosen by nobody.
"""

from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from objectives.errors import UserError
from search.dealt_parts import ATTRIBUTE
from search.messages import Cause
from search.sampling import CONTROL
from search.spec import Candidate, Confirming, StudySpec
from search.study import Study, create_study
from spaces import FromParams, Space
from spaces.pruning import NoPruning

SUFFIX = "/confirm"


@dataclass(frozen=True)
class Cell:
    """One ended run: a candidate with a seed. ``score`` is NaN unless it was trained to its last epoch."""

    candidate: int  # the trial's number in the study that is confirmed
    seed: int  # 0, 1, ...
    trial_id: int
    cause: str  # why it ended
    score: float
    per_class: dict[str, float]
    multiply_adds: int
    part: str = ""  # the places that it was validated on, where parts are dealt anew: see `places_text`


def confirm_name(study: str) -> str:
    """The name of the study that confirms another."""
    return f"{study}{SUFFIX}"


def plan(study: Study, *, top: int, seeds: int, resplit: bool) -> StudySpec:
    """The study that confirms another: its best complete trials and its control, each once with every seed.

    Raises: UserError when there is nothing to confirm, or the study confirms one itself.
    """
    if study.spec.confirm.seeds:
        raise UserError(f"study {study.spec.name!r} confirms {study.spec.confirm.study!r} itself: confirm that one")
    candidates = choose_candidates(study, top)
    space = Space(study.space.domains, study.space.control, NoPruning())
    return study.spec.model_copy(
        update={
            "name": confirm_name(study.spec.name),
            "space": space.to_dict(),
            "space_fingerprint": space.fingerprint,
            "trials": len(candidates) * seeds,
            "until_s": 0.0,
            "gpu_s": 0.0,
            "recipes": (),
            "recipe_filters": 1.0,
            "confirm": Confirming(study=study.spec.name, seeds=seeds, resplit=resplit, candidates=candidates),
        }
    )


def choose_candidates(study: Study, top: int) -> tuple[Candidate, ...]:
    """The control, then the best complete trials by score, equal configs once.

    Raises: UserError without a complete trial.
    """
    complete = study.optuna.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if not complete:
        raise UserError(f"study {study.spec.name!r} has no complete trial to confirm yet: see `search status`")
    ranked = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    control = [trial for trial in complete if trial.number == CONTROL]
    chosen: dict[str, Candidate] = {}
    for trial in [*control, *ranked]:
        key = study.space.draw(FromParams(trial.params)).model_dump_json()
        if len(chosen) < top + len(control):
            chosen.setdefault(key, candidate(study, trial))
    return tuple(chosen.values())


def candidate(study: Study, trial: FrozenTrial) -> Candidate:
    """A trial as a candidate. Where early stopping ended it, its best epoch is the last one of its confirmation."""
    train = study.space.draw(FromParams(trial.params)).train
    told = trial.user_attrs
    stopped_early = train.early_stopping and told["end_cause"] == Cause.COMPLETED and told["epochs"] < train.epochs
    return Candidate(
        number=trial.number, params=dict(trial.params), last_epoch=told["best_epoch"] if stopped_early else train.epochs
    )


def write_plan(url: str, spec: StudySpec) -> str:
    """Write the study that confirms, or find it there with equal settings; says which."""
    numbers = ", ".join(str(each.number) for each in spec.confirm.candidates)
    if create_study(url, spec):
        return f"study {spec.name!r}: trials {numbers}, each with {spec.confirm.seeds} seeds, {spec.trials} runs"
    return f"study {spec.name!r} is there already, with equal settings"


def cells(confirming: Study) -> list[Cell]:
    """What has been confirmed so far, by trial number."""
    trials = confirming.optuna.get_trials(deepcopy=False)
    return [_cell(trial) for trial in trials if trial.state.is_finished() and "confirms" in trial.user_attrs]


def _cell(trial: FrozenTrial) -> Cell:
    told: dict[str, Any] = trial.user_attrs
    cause = told.get("end_cause", trial.state.name.lower())
    return Cell(
        candidate=told["confirms"],
        seed=told["seed"],
        trial_id=trial._trial_id,
        cause=cause,
        score=trial.value if cause == Cause.COMPLETED and trial.value is not None else float("nan"),
        per_class={key.removeprefix("iou "): value for key, value in told.items() if key.startswith("iou ")},
        multiply_adds=told.get("multiply_adds", 0),
        part=told.get(ATTRIBUTE, ""),
    )
