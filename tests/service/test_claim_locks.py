"""What a claim locks, and how long: nothing, while its worker thinks, sleeps or dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from search.artifacts import open_blobs
from search.database.capacity import WORKER_CONNECTIONS
from search.database.connections import LeaseLostError, locked
from search.study.stored import Study, open_study
from search.trials import leases, roster
from search.trials.blob_lock import NAMING_LOCK, _lock_of, hold_blobs
from search.trials.claims import Claimed, Waiting, claim
from search.worker.pulse import Pulse

Maker = Callable[..., None]

CLAIMS_FOR_EVER = """
import sys
from search.study.stored import open_study
from search.trials import leases
from search.trials.claims import Claimed, claim
study = open_study(sys.argv[1], "small")
while True:
    match claim(study, "restless", threads=1):
        case Claimed(lease):
            leases.release(study.engine, lease)
            print("claimed", flush=True)
"""


def test_a_worker_frozen_at_any_moment_of_its_claims_keeps_nobody_waiting(
    database: str, make_study: Maker
) -> None:
    make_study(database, trials=4)
    study = open_study(database, "small")
    restless = subprocess.Popen(
        [sys.executable, "-c", CLAIMS_FOR_EVER, database], stdout=subprocess.PIPE
    )
    assert restless.stdout is not None
    assert restless.stdout.readline() == b"claimed\n"
    longest_s = 0.0
    for turn in range(25):
        time.sleep(0.01 * (turn % 7))
        os.kill(restless.pid, signal.SIGSTOP)
        began = time.monotonic()
        claimed = claim(study, "other", threads=1)
        longest_s = max(longest_s, time.monotonic() - began)
        if isinstance(claimed, Claimed):
            leases.release(study.engine, claimed.lease)
        os.kill(restless.pid, signal.SIGCONT)
    restless.kill()
    restless.communicate()
    study.close()
    assert longest_s < 20  # idle transactions are ended after 60 s


def test_a_look_that_finds_nothing_locks_nothing(small_study: Study) -> None:
    for owner in "abcd":
        assert isinstance(claim(small_study, owner, threads=1), Claimed)
    statements = []

    def note(*of: object) -> None:
        statements.append(str(of[2]))

    event.listen(small_study.engine, "before_cursor_execute", note)
    assert claim(small_study, "e", threads=1) == Waiting()
    assert not [each for each in statements if "FOR NO KEY" in each or "advisory" in each]


def test_a_claim_leaves_its_connection_as_it_was(small_study: Study) -> None:
    """A driver that was asked for an isolation level asks the server for it at every transaction."""
    assert isinstance(claim(small_study, "a", threads=1), Claimed)
    with small_study.engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        assert (driver.autocommit, driver.isolation_level) == (False, None)


def test_a_worker_uses_two_connections_at_most(database: str, make_study: Maker) -> None:
    make_study(database, trials=4)
    study = open_study(database, "small", connections=WORKER_CONNECTIONS)
    member = roster.join(study.engine, study.id, "cpu", "a")
    count = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    watching = open_study(database, "small")
    most = 0
    with Pulse(study.engine, member, 0.06):
        for _ in range(40):
            claimed = claim(study, member.id, threads=1)
            assert isinstance(claimed, Claimed)
            leases.release(study.engine, claimed.lease)
            with watching.engine.connect() as connection:
                most = max(most, connection.execute(count).scalar_one())
    watching.close()
    study.close()
    assert 1 <= most <= WORKER_CONNECTIONS


def test_naming_one_blob_waits_for_nobody_who_deletes_another(
    small_study: Study, tmp_path: Path
) -> None:
    blobs = open_blobs(str(tmp_path / "artifacts"))
    one, other = blobs.put(b"one"), blobs.put(b"other")
    named = threading.Event()

    def name(blob: str) -> None:
        with small_study.engine.begin() as connection:
            assert hold_blobs(connection, blobs, [blob]) == set()
        named.set()

    with locked(small_study.engine, NAMING_LOCK, _lock_of(one)):
        name(other)
        assert named.is_set()
        named.clear()
        same = threading.Thread(target=name, args=(one,))
        same.start()
        assert not named.wait(0.3)
    same.join(10)
    assert named.is_set()


def test_a_pulse_that_lost_its_lease_still_says_that_its_worker_lives(small_study: Study) -> None:
    member = roster.join(small_study.engine, small_study.id, "cpu", "a")
    claimed = claim(small_study, member.id, threads=1)
    assert isinstance(claimed, Claimed)
    leases.release(small_study.engine, claimed.lease)
    assert isinstance(claim(small_study, "b", threads=1), Claimed)
    seen = text("SELECT seen_at FROM search_worker")
    with small_study.engine.connect() as connection:
        before = connection.execute(seen).scalar_one()
    with pytest.raises(LeaseLostError):
        Pulse(small_study.engine, member, 30.0)._beat(claimed.lease)
    with small_study.engine.connect() as connection:
        assert connection.execute(seen).scalar_one() > before
