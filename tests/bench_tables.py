"""``make bench-tables``: trainings of many configs, recorded by real workers for the judge of searches.

What stands in a table's file is skipped, and what the database holds goes on where it was: it may be stopped
at any time, and the database may be gone. With ``--extend`` it trains nothing and adds the next part to the
table's plan.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from search_bench.parts import GROUND, write_next_part
from search_bench.plans import ALL, SPACE, TURNS, Planned, Table, plan_of
from search_bench.runs import Recorded, append, runs_of
from sqlalchemy import Connection, text

from search.artifacts.marker import mark_place
from search.place import Place, open_place
from search.process.messages import Cause
from search.study.purpose import Candidate, Confirming
from search.study.record import ConfirmationRun, Notes
from search.study.sampling import FirstTrial
from search.study.setup import Request, prepare
from search.study.spec import StudySpec
from search.study.stored import Study, create_study, enqueue, open_study

LOOK_S = 5.0
LEAVE_S = 60.0
BEFORE = "recorded before"  # what a run is enqueued as that the table has already
EPOCHS = text("""
    SELECT measured, soft_score, balanced_nll FROM search_epoch WHERE trial_id = :trial_id ORDER BY epoch
""")


def main() -> None:
    """Record until every run of the plan stands in its file, or the time is over."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    asked = arguments()
    table = ALL[asked.table]
    if asked.extend:
        written = write_next_part(table)
        print(f"{table.name}: {len(plan_of(table))} runs planned{'' if written else ', as before'}")
        return
    plan = plan_of(table)
    until = time.monotonic() + 60 * asked.minutes
    with open_place("", "", asked.home, make=True) as place:
        for lot in lots_of(plan):
            if lacking(table, lot) and time.monotonic() < until:
                record_lot(table, lot, place, asked.workers, until)
    print(f"{table.name}: {len(plan) - len(lacking(table, plan))} of {len(plan)} runs", flush=True)


def lots_of(plan: list[Planned]) -> list[list[Planned]]:
    """Return the parts of a plan that a study of its own trains each: on the table's split, on fresh
    ones, and on further ones.
    """
    lots = [
        [each for each in plan if not each.turn],
        [each for each in plan if 0 < each.turn <= TURNS],
        [each for each in plan if each.turn > TURNS],
    ]
    return [lot for lot in lots if lot]


def record_lot(table: Table, lot: list[Planned], place: Place, workers: int, until: float) -> None:
    """Train and record until every run of a lot stands in the table's file, or the time is over."""
    study = fresh_study(table, lot, place) if lot[0].turn else study_of(table, lot, place)
    try:
        with at_work(study, place, workers) as working:
            while lacking(table, lot) and time.monotonic() < until:
                if all(worker.poll() is not None for worker in working):
                    break
                time.sleep(LOOK_S)
                record(table, lot, study)
        record(table, lot, study)
    finally:
        study.close()


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=ALL, required=True)
    parser.add_argument("--workers", type=int, default=2, help="one thread each (%(default)s)")
    parser.add_argument("--minutes", type=float, default=1e6, help="leave after so long")
    parser.add_argument("--home", type=Path, help="of the database, kept")
    parser.add_argument("--extend", action="store_true", help="add the next part to the plan")
    asked = parser.parse_args()
    if not (asked.extend or asked.home):
        parser.error("--home is missing")
    return asked


def lacking(table: Table, plan: list[Planned]) -> list[Planned]:
    """Return the runs that the table's file lacks."""
    there = runs_of(table.name)
    return [planned for planned in plan if planned.number not in there]


def study_of(table: Table, lot: list[Planned], place: Place) -> Study:
    """Return the study whose trials are the runs of a lot, in its order; made where it is not there,
    with those that the file has as ended ones.
    """
    spec = spec_of(table, f"{table.name} {len(lot)}", len(lot), place)
    there = runs_of(table.name)
    firsts = [
        None
        if planned.number in there
        else FirstTrial(planned.params, Notes(recipe=planned.config))
        for planned in lot
    ]
    return made(spec, firsts, place)


def fresh_study(table: Table, lot: list[Planned], place: Place) -> Study:
    """Return the study that trains configs again, each turn with a seed and a split of its own, by
    its place among all. The rounds before the lot's, of which the first is on the table's split,
    count as ended.
    """
    configs = {each.config: each.params for each in lot}
    candidates = tuple(
        Candidate(number=number, params=dict(params), last_epoch=GROUND.epochs)
        for number, params in enumerate(configs.values())
    )
    seeds = 1 + max(each.turn for each in lot)
    purpose = Confirming(study=table.name, seeds=seeds, candidates=candidates)
    there = runs_of(table.name)
    firsts: list[FirstTrial | None] = [None] * (len(configs) * lot[0].turn)
    for place_of, planned in enumerate(lot):
        run = ConfirmationRun(place_of % len(configs), planned.turn)
        notes = Notes(recipe=planned.config, confirmed=run)
        firsts.append(None if planned.number in there else FirstTrial(planned.params, notes))
    spec = spec_of(table, f"{table.name} fresh from {lot[0].turn}", len(firsts), place)
    return made(spec.model_copy(update={"purpose": purpose}), firsts, place)


def spec_of(table: Table, name: str, trials: int, place: Place) -> StudySpec:
    """Return what decides a study on a table's data."""
    request = Request(
        name=name, source=table.source, space=str(SPACE), trials=trials, frames=table.options()
    )
    prepared = prepare(request, place)
    print(*prepared.findings, sep="\n", flush=True)
    return prepared.spec


def made(spec: StudySpec, firsts: list[FirstTrial | None], place: Place) -> Study:
    """Return a study that trains these trials and no other, in their order; None has ended."""

    def begin(study: optuna.Study, spec: StudySpec, connection: Connection) -> int:
        for first in firsts:
            if first:
                enqueue(study, first)
                continue
            ended = Notes(recipe=BEFORE, cause=Cause.COMPLETED.value)
            study.add_trial(
                create_trial(state=TrialState.COMPLETE, value=0.0, user_attrs=ended.attributes())
            )
        return len(firsts)

    mark_place(place.storage, place.artifacts, spec.name)
    create_study(place.storage, spec, begin=begin)
    return open_study(place.storage, spec.name)


@contextmanager
def at_work(study: Study, place: Place, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield workers on the study; they are asked to leave at the end, and their trials kept."""
    words = ["worker", "--study", study.spec.name, "--storage", place.storage]
    words += ["--artifacts", place.artifacts, "--cache", str(place.cache)]
    command = [sys.executable, "-m", "search", *words, "--device", "cpu", "--threads", "1"]
    workers = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + LEAVE_S
        for worker in workers:
            try:
                worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def record(table: Table, lot: list[Planned], study: Study) -> None:
    """Append the runs that have ended since. The lot's are the study's last trials."""
    there = runs_of(table.name)
    trials = study.storage.get_all_trials(study.id, deepcopy=False)
    first = study.spec.trials - len(lot)
    ended = [
        (planned, trial)
        for planned, trial in zip(lot, trials[first : study.spec.trials], strict=True)
        if trial.state.is_finished()
        and planned.number not in there
        and Notes.of(trial).recipe != BEFORE
    ]
    if ended:
        append(table.name, [read(study, planned, trial) for planned, trial in ended])
        lines = ", ".join(f"{planned.number} ({planned.config})" for planned, _ in ended)
        print(f"{table.name}: recorded {lines}; {len(there) + len(ended)} in all", flush=True)


def read(study: Study, planned: Planned, trial: FrozenTrial) -> Recorded:
    """Return a trial as a table has it."""
    # without parameters somebody else has ended it
    same = not trial.params or dict(trial.params) == dict(planned.params)
    assert same, f"trial {trial.number} is another config"
    with study.engine.connect() as connection:
        epochs = connection.execute(EPOCHS, {"trial_id": trial._trial_id}).all()
    scores = [score for _, score in sorted(trial.intermediate_values.items())]
    assert len(epochs) == len(scores), f"trial {trial.number} has half of an epoch"
    notes = Notes.of(trial)
    return Recorded(
        number=planned.number,
        config=planned.config,
        seed=study.run(trial.number).seed,
        cause=notes.cause,
        multiply_adds=notes.multiply_adds,
        scores_E=np.array(scores),
        soft_scores_E=np.array([each.soft_score for each in epochs]),
        balanced_nll_E=np.array([each.balanced_nll for each in epochs]),
        measured_EK=np.array([each.measured for each in epochs]),
    )


if __name__ == "__main__":
    main()
