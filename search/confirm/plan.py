"""``search confirm``: the best trials of a study and its control, trained again with other seeds,
in a study of its own.

The best of many noisy scores is high partly by luck. What is trained again, for every candidate
with the same seeds and on the same parts, and scored at its last epoch, was chosen by nobody.
"""

from optuna.trial import FrozenTrial, TrialState

from objectives.errors import UserError
from search.confirm.cell import Cell
from search.process.messages import Cause
from search.study.beliefs import read_beliefs
from search.study.learned import Lessons
from search.study.names import CONTROL, confirm_name
from search.study.purpose import Candidate, Confirming
from search.study.record import ConfirmationRun, Notes
from search.study.spec import StudySpec, refuse_derived
from search.study.stored import Study, create_study
from spaces import FromParams
from spaces.space import unpruned

# what to do instead of confirming a study that confirms or retrains
CONFIRM_THAT = "confirm that one"


def plan(
    study: Study, *, top: int, seeds: int, resplit: bool, folds: int = 0, count: int = 1
) -> StudySpec:
    """Return the study that confirms another, for the ``count``-th time: its best complete trials
    and its control, with every seed, or on every fold where there are ``folds``.

    Raises:
        UserError: There is nothing to confirm, the study confirms one itself, or the name would be
            too long.
    """
    refuse_derived(study.spec, CONFIRM_THAT)
    name = confirm_name(study.spec.name, count)
    candidates = choose_candidates(study, top)
    purpose = Confirming(
        study=study.spec.name,
        study_id=study.id,
        top=top,
        seeds=folds or seeds,
        resplit=bool(folds) or resplit,
        folds=folds,
        candidates=candidates,
    )
    space = unpruned(study.space)
    return study.spec.model_copy(
        update={
            "lessons": Lessons(),
            "name": name,
            "space": space.to_dict(),
            "space_fingerprint": space.fingerprint,
            "trials": len(candidates) * purpose.seeds,
            "until_s": 0.0,
            "gpu_s": 0.0,
            "recipes": (),
            "recipe_filters": 1.0,
            "purpose": purpose,
        }
    )


def plan_of(spec: StudySpec) -> Confirming:
    """Return what a study that confirms another was planned to train."""
    assert isinstance(spec.purpose, Confirming), spec.name
    return spec.purpose


def choose_candidates(study: Study, top: int) -> tuple[Candidate, ...]:
    """Return the control, then the complete trials whose configs are believed best, equal configs once.

    Raises:
        UserError: Without a complete trial.
    """
    chosen = best_trials(study, top)
    if not chosen:
        raise UserError(
            f"study {study.spec.name!r} has no complete trial to confirm yet: see `search status`"
        )
    return tuple(candidate(study, trial) for trial in chosen)


def best_trials(study: Study, top: int) -> list[FrozenTrial]:
    """Return the control, then the complete trials whose configs are believed best, equal configs once;
    as they are stored.
    """
    complete = {
        trial.number: trial
        for trial in study.optuna.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    }
    believed = sorted(read_beliefs(study).ranked, key=lambda each: each.config_rank)
    judged = [complete[each.number] for each in believed if each.number in complete]
    others = [trial for trial in complete.values() if trial not in judged]
    ranked = judged + sorted(others, key=lambda trial: (-(trial.value or 0.0), trial.number))
    control = [trial for trial in ranked if trial.number == CONTROL]
    chosen: dict[str, FrozenTrial] = {}
    for trial in [*control, *ranked]:
        if len(chosen) == top + len(control):
            break
        chosen.setdefault(config_key(study, trial), trial)
    return list(chosen.values())


def config_key(study: Study, trial: FrozenTrial) -> str:
    """Return what two trials with equal configs have in common."""
    return study.space.draw(FromParams(trial.params)).model_dump_json()


def candidate(study: Study, trial: FrozenTrial) -> Candidate:
    """Return a trial as a candidate. Where early stopping ended it, its best epoch is the last one
    of its confirmation.
    """
    train = study.space.draw(FromParams(trial.params)).train
    notes = Notes.of(trial)
    stopped_early = (
        train.early_stopping and notes.cause == Cause.COMPLETED and notes.epochs < train.epochs
    )
    last_epoch = notes.best_epoch if stopped_early else train.epochs
    return Candidate(number=trial.number, params=dict(trial.params), last_epoch=last_epoch)


def training_s(searched: Study, purpose: Confirming) -> float:
    """Return how many seconds of training a confirmation is, by what an epoch of each candidate's own
    trial took; 0 where one does not tell.
    """
    trials = searched.optuna.get_trials(deepcopy=False)
    notes = [Notes.of(trials[each.number]) for each in purpose.candidates]
    if not all(each.epochs and each.train_s for each in notes):
        return 0.0
    return purpose.seeds * sum(
        each.last_epoch * told.train_s / told.epochs
        for each, told in zip(purpose.candidates, notes, strict=True)
    )


def write_plan(url: str, spec: StudySpec) -> str:
    """Write the study that confirms, or find it there with equal settings; says which.

    Raises:
        UserError: Another study has its name.
    """
    purpose = plan_of(spec)
    numbers = ", ".join(str(each.number) for each in purpose.candidates)
    if create_study(url, spec):
        return (
            f"study {spec.name!r}: trials {numbers}, each {'on' if purpose.folds else 'with'} "
            f"{purpose.seeds} {purpose.turns}, "
            f"{spec.trials} runs"
        )
    return f"study {spec.name!r} is there already, with equal settings"


def cells(confirming: Study) -> list[Cell]:
    """Return what has been confirmed so far, in the order of the plan.

    Of a run that was trained again the first with a score counts, or else the last.
    """
    newest: dict[tuple[int, int], Cell] = {}
    for trial in confirming.optuna.get_trials(deepcopy=False):
        notes = Notes.of(trial)
        if trial.state.is_finished() and notes.confirmed:
            cell = _cell(trial, notes, notes.confirmed)
            before = newest.get((cell.seed, cell.candidate))
            if before is None or not before.scored:
                newest[cell.seed, cell.candidate] = cell
    return list(newest.values())


def _cell(trial: FrozenTrial, notes: Notes, confirmed: ConfirmationRun) -> Cell:
    cause = notes.cause or trial.state.name.lower()
    return Cell(
        candidate=confirmed.candidate,
        seed=confirmed.seed,
        trial_id=trial._trial_id,
        cause=cause,
        score=trial.value if cause == Cause.COMPLETED and trial.value is not None else float("nan"),
        per_class=notes.per_class,
        multiply_adds=notes.multiply_adds,
        part=notes.places,
    )
