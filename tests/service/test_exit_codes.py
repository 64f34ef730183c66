"""What a worker's exit code says to an engine that starts workers: done, asked to leave, a mistake,
or the world's fault.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.study.status import read_status
from search.study.stored import open_study
from tests.support.waiting import wait_for

Maker = Callable[..., None]
LEAVE = 75
CODE = f"--leave-code={LEAVE}"


@contextmanager
def workers(database: str, root: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start workers on the study ``small``; those that a failed test has left are killed."""
    started: list[subprocess.Popen[bytes]] = []
    place = {
        "SEARCH_STORAGE": database,
        "SEARCH_ARTIFACTS": str(root / "artifacts"),
        "SEARCH_CACHE": str(root / "cache"),
    }

    def start(*options: str, **settings: str) -> subprocess.Popen[bytes]:
        words = ["worker", "--study=small", "--device=cpu", "--threads=1", "--lease=5s", *options]
        with (root / f"log-{len(started)}").open("wb") as log:
            command = [sys.executable, "-m", "search", *words]
            started.append(
                subprocess.Popen(command, env=os.environ | place | settings, stdout=log, stderr=log)
            )
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.wait()


@contextmanager
def silent_database() -> Iterator[str]:
    """An address where somebody listens, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/none"


@pytest.mark.long
def test_a_worker_that_was_told_to_leave_ends_with_its_code_wherever_it_stood(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=400",))
    study = open_study(database, "small")
    said = [tmp_path / f"log-{place}" for place in range(5)]
    with workers(database, tmp_path) as start, silent_database() as silent:
        trains = start(CODE)
        wait_for(
            lambda: read_status(study).trials["running"] == 1, told=lambda: said[0].read_text()
        )
        waits = start("--drain", SEARCH_LEAVE_CODE=str(LEAVE))
        arrives, by_default = start("--study=later", CODE), start("--study=later")
        unheard = start(CODE, SEARCH_STORAGE=silent)
        wait_for(lambda: len(read_status(study).workers) == 2)
        wait_for(lambda: all("no study 'later'" in said[place].read_text() for place in (2, 3)))
        wait_for(lambda: connected(unheard.pid))
        told = [trains, waits, arrives, by_default, unheard]
        for worker in told:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(30) for worker in told] == [LEAVE, LEAVE, LEAVE, 0, LEAVE]
    # given back, or else when its lease has run out
    wait_for(lambda: read_status(study).trials["interrupted"] == 1)
    study.close()


def connected(pid: int) -> bool:
    """Whether a process has a connection to some server."""
    return any(
        str(entry.readlink()).startswith("socket:") for entry in Path(f"/proc/{pid}/fd").iterdir()
    )


@pytest.mark.long
def test_the_end_of_the_study_is_0_whatever_the_code(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=1",))
    with workers(database, tmp_path) as start:
        assert start(CODE).wait(120) == 0
        assert start(CODE).wait(120) == 0, "nothing is left to do"


@pytest.mark.long
def test_a_drained_worker_that_is_hurried_ends_with_its_code(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=400",))
    study = open_study(database, "small")
    with workers(database, tmp_path) as start:
        worker = start(CODE, "--drain")
        wait_for(lambda: read_status(study).trials["running"] == 1)
        worker.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(1.0)
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == LEAVE
    study.close()


@pytest.mark.parametrize("code", ["1", "2", "256", "-1", "soon"])
def test_codes_that_mean_something_else_are_refused(code: str, tmp_path: Path) -> None:
    with workers("postgresql://nobody@127.0.0.1:9/none", tmp_path) as start:
        assert start(f"--leave-code={code}").wait(60) == 2
        words = (tmp_path / "log-0").read_text()
        assert "--leave-code" in words
        assert len(words.strip().splitlines()) == 1
