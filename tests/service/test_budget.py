"""Exact budgets: many processes claim at once, some of them are killed, and the trials
are counted.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from search.study.status import read_status
from search.study.stored import open_study
from search.trials.claims import Claimed, Done, Waiting, claim

Maker = Callable[..., None]
BUDGET = 20

CLAIMER = """
import sys, time
from contextlib import suppress
from optuna.trial import TrialState
from search.trials.claims import Claimed, Done, claim
from search.trials.drawing import draw
from search.database.connections import LeaseLostError
from search.study.stored import open_study
study = open_study(sys.argv[1], "small")
while True:
    match claim(study, sys.argv[2], threads=1, lease_s=float(sys.argv[3])):
        case Claimed(lease):
            with suppress(LeaseLostError), study.fence.holding(lease.trial_id, lease.fence):
                # nobody renews the lease: where all is slow, another takes the trial over
                draw(study, lease)
                trial = study.trial(lease.trial_id)
                study.optuna.tell(trial, 0.5, skip_if_finished=True)  # as workers do
        case Done():
            break
        case _:
            time.sleep(0.05)
"""


def start(log: Path, command: list[str], place: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *command], env=os.environ | place, stdout=out, stderr=out
        )


def start_claimer(log: Path, database: str, name: str) -> subprocess.Popen[bytes]:
    return start(log, ["-c", CLAIMER, database, name, "1.0"], {})


def numbers_by_state(database: str) -> Counter[str]:
    with (
        psycopg2.connect(database.replace("+psycopg2", "")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT state FROM trials")
        return Counter(row[0] for row in cursor.fetchall())


def test_processes_killed_while_they_claim_lose_and_double_no_trial(
    database: str, make_study: Maker, tmp_path: Path
) -> None:
    make_study(database, trials=BUDGET)
    dice, killed = random.Random(0), 0
    log = tmp_path / "claimers.log"
    running = [start_claimer(log, database, f"w{i}") for i in range(4)]
    deadline = time.monotonic() + 60.0
    while killed < 6 and time.monotonic() < deadline:
        time.sleep(dice.uniform(0.3, 0.9))
        victim = dice.randrange(len(running))
        if running[victim].poll() is None:
            os.kill(running[victim].pid, signal.SIGKILL)
            running[victim].wait()
            killed += 1
        running[victim] = start_claimer(log, database, f"w{victim}-{killed}")
    assert [process.wait(90) for process in running] == [0] * 4, log.read_text()
    assert killed >= 3
    assert numbers_by_state(database) == Counter(COMPLETE=BUDGET)
    study = open_study(database, "small")
    assert sorted(trial.number for trial in study.optuna.get_trials()) == list(range(BUDGET))
    assert claim(study, "late", threads=1) == Done()
    study.close()


def test_a_claim_whose_answer_is_lost_is_had_by_asking_again(
    database: str, make_study: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has committed it: the same worker gets the same trial, and nobody another one."""
    make_study(database, trials=2)
    study = open_study(database, "small")
    first = claim(study, "first", threads=1)
    execute = study.engine.dialect.do_execute
    lost = []

    def lose_the_answer(cursor: Any, statement: str, *rest: Any) -> None:
        execute(cursor, statement, *rest)
        if not lost and "INSERT INTO search_lease" in statement:
            lost.append(True)
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(study.engine.dialect, "do_execute", lose_the_answer)
    with pytest.raises(OperationalError):
        claim(study, "second", threads=1)
    assert lost
    assert numbers_by_state(database) == Counter(RUNNING=2)
    assert claim(study, "third", threads=1) == Waiting()
    had = claim(study, "second", threads=1)
    assert isinstance(first, Claimed)
    assert isinstance(had, Claimed)
    assert had.lease.trial_id != first.lease.trial_id
    assert (had.lease.fence, had.lease.vanished) == (2, 0)
    study.close()


def test_a_claim_that_slept_between_its_look_and_its_lock_creates_nothing_too_many(
    database: str, make_study: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(database, trials=2)
    sleeper, awake = open_study(database, "small"), open_study(database, "small")
    execute = sleeper.engine.dialect.do_execute

    def execute_late(cursor: Any, statement: str, *rest: Any) -> None:
        if "INSERT INTO search_lease" in statement:
            names = iter("ab")
            while isinstance(claim(awake, next(names, "c"), threads=1), Claimed):
                pass
        execute(cursor, statement, *rest)

    monkeypatch.setattr(sleeper.engine.dialect, "do_execute", execute_late)
    assert claim(sleeper, "sleeper", threads=1) == Waiting()
    assert numbers_by_state(database) == Counter(RUNNING=2)
    for study in (sleeper, awake):
        study.close()


def test_a_claim_of_before_a_fail_over_takes_nothing_after_it(
    database: str, make_study: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has counted was another server's."""
    make_study(database, trials=2)
    study = open_study(database, "small")
    execute = study.engine.dialect.do_execute

    def execute_elsewhere(cursor: Any, statement: str, *rest: Any) -> None:
        execute(cursor, statement.replace("pg_postmaster_start_time() =", "now() ="), *rest)

    with monkeypatch.context() as patch:
        patch.setattr(study.engine.dialect, "do_execute", execute_elsewhere)
        assert claim(study, "a", threads=1) == Waiting()
    assert isinstance(claim(study, "a", threads=1), Claimed)
    study.close()


@pytest.mark.long
def test_eight_workers_started_at_once_spend_a_budget_of_twenty_exactly(
    database: str, make_study: Maker, tmp_path: Path
) -> None:
    make_study(database, trials=BUDGET, sets=("train.epochs=1", "train.steps_per_epoch=1"))
    command = ["-m", "search", "worker", "--study", "small", "--device", "cpu", "--threads", "1"]
    place = {
        "SEARCH_STORAGE": database,
        "SEARCH_ARTIFACTS": str(tmp_path / "artifacts"),
        "SEARCH_CACHE": str(tmp_path / "cache"),
    }
    workers = [start(tmp_path / f"{i}.log", command, place) for i in range(8)]
    codes = [worker.wait(400) for worker in workers]
    words = [(tmp_path / f"{i}.log").read_text() for i in range(8)]
    assert codes == [0] * 8, words
    study = open_study(database, "small")
    status = read_status(study)
    study.close()
    assert status.spent == BUDGET
    assert status.trials["complete"] + status.trials["pruned"] == BUDGET
    assert sum(word.count(" starts") for word in words) == BUDGET  # each trial was begun once
    assert len(status.workers) == 8
    assert not any(worker["alive"] for worker in status.workers)
