"""``make bench-tables``: trainings of many configs, recorded by real workers for the judge of searches.

What stands in a table's file is skipped, and what the database holds goes on where it was: it may be stopped
at any time, and the database may be gone.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from search_bench.plans import ALL, SPACE, Planned, Table, plan_of
from search_bench.runs import Recorded, append, runs_of
from sqlalchemy import Connection, text

from search.artifacts.marker import mark_place
from search.place import Place, open_place
from search.process.messages import Cause
from search.study.record import Notes
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
    plan = plan_of(table)
    until = time.monotonic() + 60 * asked.minutes
    with open_place("", "", asked.home, make=True) as place:
        study = study_of(table, plan, place)
        try:
            with at_work(study, place, asked.workers) as workers:
                while lacking(table, plan) and time.monotonic() < until:
                    if all(worker.poll() is not None for worker in workers):
                        break
                    time.sleep(LOOK_S)
                    record(table, plan, study)
            record(table, plan, study)
        finally:
            study.close()
    print(f"{table.name}: {len(plan) - len(lacking(table, plan))} of {len(plan)} runs", flush=True)


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=ALL, required=True)
    parser.add_argument("--workers", type=int, default=2, help="one thread each (%(default)s)")
    parser.add_argument("--minutes", type=float, default=1e6, help="leave after so long")
    parser.add_argument("--home", type=Path, required=True, help="of the database, kept")
    return parser.parse_args()


def lacking(table: Table, plan: list[Planned]) -> list[Planned]:
    """Return the runs that the table's file lacks."""
    there = runs_of(table.name)
    return [planned for planned in plan if planned.number not in there]


def study_of(table: Table, plan: list[Planned], place: Place) -> Study:
    """Return the study whose trials are the runs of a plan, by number; made where it is not there,
    with those that the file has as ended ones.
    """
    request = Request(
        name=f"{table.name} {len(plan)}",
        source=table.source,
        space=str(SPACE),
        trials=len(plan),
        frames=table.options(),
    )
    prepared = prepare(request, place)
    there = runs_of(table.name)

    def begin(study: optuna.Study, spec: StudySpec, connection: Connection) -> int:
        for planned in plan:
            notes = Notes(recipe=planned.config)
            if planned.number not in there:
                enqueue(study, FirstTrial(planned.params, notes))
                continue
            ended = replace(notes, recipe=BEFORE, cause=Cause.COMPLETED.value)
            study.add_trial(
                create_trial(state=TrialState.COMPLETE, value=0.0, user_attrs=ended.attributes())
            )
        return len(plan)

    print(*prepared.findings, sep="\n", flush=True)
    mark_place(place.storage, place.artifacts, prepared.spec.name)
    create_study(place.storage, prepared.spec, begin=begin)
    return open_study(place.storage, prepared.spec.name)


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


def record(table: Table, plan: list[Planned], study: Study) -> None:
    """Append the runs that have ended since."""
    there = runs_of(table.name)
    trials = study.storage.get_all_trials(study.id, deepcopy=False)
    ended = [
        trial
        for trial in trials[: len(plan)]
        if trial.state.is_finished()
        and trial.number not in there
        and Notes.of(trial).recipe != BEFORE
    ]
    if ended:
        append(table.name, [read(study, plan[trial.number], trial) for trial in ended])
        lines = ", ".join(f"{each.number} ({plan[each.number].config})" for each in ended)
        print(
            f"{table.name}: recorded {lines}; {len(there) + len(ended)} of {len(plan)}", flush=True
        )


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
        number=trial.number,
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
