"""Which study confirms a search, and what `search confirm` does to it: plan it, go on with it, or
plan another.

The newest confirmation counts; those before it stay as they are. Whoever plans holds a lock of the
search, so that of two people who confirm at once the second goes on with what the first has
planned. A plan is there from the moment at which its study is (see `create_study`): killed before
that, the one before it counts.
"""

import shlex
from dataclasses import dataclass
from itertools import count

from sqlalchemy import text

from objectives.errors import UserError
from search.confirm.cell import Cell
from search.confirm.plan import CONFIRM_THAT, cells, plan, plan_of, training_s, write_plan
from search.confirm.wanted import Asked, Wanted, told_of_given
from search.database.connections import locked
from search.database.predicates import STUDIES
from search.process.messages import Cause
from search.study.budget import time_text
from search.study.joining import check_program
from search.study.known import read_spec
from search.study.names import count_of
from search.study.purpose import Confirming
from search.study.record import ConfirmationRun, Notes
from search.study.sampling import FirstTrial
from search.study.spec import StudySpec, refuse_derived
from search.study.stored import ForeignNameError, Study, enqueue, open_study

PLAN_LOCK = 7_215_006

# studies that confirm or retrain one, the newest last; earlier versions wrote its name elsewhere
DERIVED = text(f"""
    SELECT study_name, spec FROM {STUDIES}
    WHERE coalesce(spec #>> '{{purpose,study}}', spec #>> '{{confirm,study}}') = :name
    ORDER BY study_id
""")

TAKEN = text(f"SELECT 1 FROM {STUDIES} WHERE study_name = :name")

MAKE_ROOM = text("""
    UPDATE search_study SET trials = greatest(trials, (SELECT count(*) FROM trials WHERE trials.study_id = :study_id))
    WHERE study_id = :study_id
""")


@dataclass(frozen=True)
class Begun:
    """The study to train, and what was done to it in lines for people."""

    name: str
    lines: tuple[str, ...]


def newest_confirmation(searched: Study) -> str:
    """Return the name of the study that confirms another, the newest one; empty without any."""
    return next(reversed(_confirmations(searched)), "")


def begin(searched: Study, storage: str, asked: Asked, *, again: bool) -> Begun:
    """Go on with the confirmation that is there, or plan one: where there is none, or ``again``.

    Going on, runs that have ended without a score are trained again.

    Raises:
        UserError: There is nothing to confirm, another confirmation than the one that is there is
            asked for without ``again``, its name would be too long, or no worker of this version
            could train it.
    """
    refuse_derived(searched.spec, CONFIRM_THAT)
    check_program(searched.spec)
    with locked(searched.engine, PLAN_LOCK, searched.id):
        there = _confirmations(searched)
        if not there:
            return _planned(searched, storage, Wanted.of(searched).but(asked), 1, asked)
        name, newest = list(there.items())[-1]
        if not again:
            _refuse_other(name, newest, asked)
            return _gone_on(name, storage, "")
        wanted = Wanted.of(searched, newest).but(asked)
        number = count_of(searched.spec.name, name) + 1
        if _equal_plans(newest, plan_of(_plan(searched, wanted, number))):
            return _gone_on(name, storage, "a new plan would be of the same runs; ")
        planned = _planned(searched, storage, wanted, number, asked)
        return Begun(
            planned.name,
            (*planned.lines, f"it counts instead of study {name!r}, which stays as it is"),
        )


def _confirmations(searched: Study) -> dict[str, Confirming]:
    """Return the plans of a study's confirmations by their names, the newest last."""
    with searched.engine.connect() as connection:
        rows = connection.execute(DERIVED, {"name": searched.spec.name}).all()
    plans = {row.study_name: read_spec(row.study_name, row.spec).purpose for row in rows}
    return {
        name: plan
        for name, plan in plans.items()
        if isinstance(plan, Confirming) and plan.study_id in (0, searched.id)
    }


def _plan(searched: Study, wanted: Wanted, number: int) -> StudySpec:
    return plan(
        searched,
        top=wanted.top,
        seeds=wanted.seeds,
        resplit=wanted.resplit,
        folds=wanted.folds,
        count=number,
    )


def _planned(searched: Study, storage: str, wanted: Wanted, first: int, asked: Asked) -> Begun:
    """Write the plan under the first name that is free, from the ``first``-th on."""
    for number in count(first):
        spec = _plan(searched, wanted, number)
        if _is_free(searched, spec.name):
            try:
                told = [write_plan(storage, spec), *told_of_given(searched, wanted, asked)]
                if seconds := training_s(searched, plan_of(spec)):
                    told.append(
                        f"about {time_text(seconds)} of training in all, by what its candidates' "
                        f"trials took; workers share it"
                    )
                return Begun(spec.name, tuple(told))
            except ForeignNameError:
                continue
    raise AssertionError("there is no last number")


def _is_free(searched: Study, name: str) -> bool:
    with searched.engine.connect() as connection:
        return connection.execute(TAKEN, {"name": name}).first() is None


def _gone_on(name: str, storage: str, why: str) -> Begun:
    confirming = open_study(storage, name)
    try:
        repeated = _train_again(confirming)
        over = all(
            trial.state.is_finished() for trial in confirming.optuna.get_trials(deepcopy=False)
        )
    finally:
        confirming.close()
    lines = [f"{why}study {name!r} {'has ended: nothing is left to train' if over else 'goes on'}"]
    lines += (
        [f"{len(repeated)} run(s) without a score are trained again: {', '.join(repeated)}"]
        if repeated
        else []
    )
    return Begun(name, tuple(lines))


def _train_again(confirming: Study) -> list[str]:
    """Enqueue what has ended without a score and is not at hand; what diverged would do
    so again.
    """
    trials = confirming.optuna.get_trials(deepcopy=False)
    at_hand = {Notes.of(trial).confirmed for trial in trials if not trial.state.is_finished()}
    lost = [
        cell
        for cell in cells(confirming)
        if is_lost(cell) and ConfirmationRun(cell.candidate, cell.seed) not in at_hand
    ]
    purpose = plan_of(confirming.spec)
    params = {each.number: each.params for each in purpose.candidates}
    names = [f"trial {cell.candidate}, {purpose.named(cell.seed)}" for cell in lost]
    for cell, name in zip(lost, names, strict=True):
        notes = Notes(recipe=f"{name}, again", confirmed=ConfirmationRun(cell.candidate, cell.seed))
        enqueue(confirming.optuna, FirstTrial(params[cell.candidate], notes))
    # also for what a process has enqueued that was killed here
    with confirming.engine.begin() as connection:
        connection.execute(MAKE_ROOM, {"study_id": confirming.id})
    return names


def is_lost(cell: Cell) -> bool:
    """Return whether a run has ended without a score, and might have one if it were
    trained again.
    """
    return not cell.scored and cell.cause != Cause.DIVERGED


def _refuse_other(name: str, there: Confirming, asked: Asked) -> None:
    """Refuse to go on with a confirmation that is not the one asked for.

    Raises:
        UserError: An option is given with another value than the one that was planned.
    """
    planned = {"--top": there.best, "--folds": there.folds or None}
    planned |= (
        {"--seeds": None, "--resplit": None}
        if there.folds
        else {"--seeds": there.seeds, "--resplit": there.resplit}
    )
    wanted = {
        "--top": asked.top,
        "--seeds": asked.seeds,
        "--resplit": asked.resplit,
        "--folds": asked.folds,
    }
    differing = [
        f"{option} is {_shown(planned[option])} there, {_shown(value)} wanted"
        for option, value in wanted.items()
        if value is not None and value != planned[option]
    ]
    if differing:
        study = shlex.quote(there.study)
        raise UserError(
            f"study {name!r} is planned otherwise: {'; '.join(differing)}; `search confirm --study "
            f"{study}` goes on "
            "with it, --again plans anew"
        )


def _shown(value: object) -> str:
    if value is None:
        return "not used"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _equal_plans(one: Confirming, other: Confirming) -> bool:
    """Return whether two plans are of the same runs, whatever else is recorded of them."""
    return (one.seeds, one.resplit, one.folds, one.candidates) == (
        other.seeds,
        other.resplit,
        other.folds,
        other.candidates,
    )
