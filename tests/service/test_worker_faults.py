"""What may befall one trial's process, its checkpoints and its store: the trial goes on, or ends
with its cause.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.artifacts import open_blobs
from search.process.parent import preload
from search.study.budget import Order
from search.study.orders import extend_budget, give_order
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.study.trial_lines import read_trials
from search.trials import checkpoints
from search.worker import trial as trials
from search.worker.blame import MOST_CRASHES
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.waiting import wait_for

Maker = Callable[..., None]


class Work:
    """A worker in a thread of this process; its trials run in real processes, which a test may
    harm.
    """

    def __init__(self, study: Study, root: Path, **settings: Any) -> None:
        self.study = study
        self.said: list[str] = []
        self.orders = Orders()
        asked = WorkerSettings(
            str(root / "artifacts"), root / "cache", device="cpu", threads=1, **settings
        )
        self.thread = threading.Thread(
            target=run_worker, args=(study, asked, self.orders, self.said.append), daemon=True
        )
        self.thread.start()

    def wait_for(self, what: Callable[[], Any], timeout_s: float = 120.0) -> Any:
        return wait_for(what, timeout_s, told=lambda: self.said)

    def child(self) -> psutil.Process:
        """The trial's process that runs now."""

        def find() -> psutil.Process | None:
            for process in psutil.Process().children(recursive=True):
                try:
                    if Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000":
                        return process
                except OSError:
                    continue
            return None

        found: psutil.Process = self.wait_for(find)
        return found

    def epochs(self, number: int = 0) -> int:
        lines = [line for line in read_trials(self.study) if line.number == number]
        return lines[0].epochs if lines else 0

    def heard(self, words: str) -> bool:
        return any(words in line for line in self.said)

    def join(self, timeout_s: float = 240.0) -> None:
        self.thread.join(timeout_s)
        assert not self.thread.is_alive(), self.said


@contextmanager
def working(database: str, root: Path, **settings: Any) -> Iterator[Work]:
    study = open_study(database, "small")
    work = Work(study, root, **settings)
    try:
        yield work
    finally:
        work.orders.stop.set()
        work.orders.leave.set()
        work.thread.join(30.0)
        study.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "RETRY_S", 0.1)
    preload()  # by the main thread, with which it ends: workers are threads here


def check_history(study: Study, epochs: int) -> None:
    assert list(study.optuna.get_trials()[0].intermediate_values) == list(range(1, epochs + 1))


def test_a_config_that_kills_its_process_is_tried_three_times_and_failed(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=2, sets=("train.epochs=50",))
    with working(database, tmp_path) as work:
        for times in range(MOST_CRASHES):
            child = work.child()
            child.send_signal(signal.SIGSEGV if times else signal.SIGABRT)
            child.wait(10)
        work.wait_for(lambda: work.heard("crashed"))
        give_order(work.study, Order.STOPPED)
        work.join()
        poison, other = work.study.optuna.get_trials()
        assert (poison.state.name, poison.user_attrs["end_cause"]) == ("FAIL", "crashed")
        assert "code -11" in poison.user_attrs["message"]
        assert other.intermediate_values  # the worker went on
        assert read_status(work.study).spent == 2


@pytest.mark.long
def test_a_process_that_stands_still_is_killed_and_its_trial_resumed_then_failed(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=100",))
    with working(database, tmp_path, hang_s=8.0) as work:
        work.wait_for(lambda: work.epochs() >= 1)
        still = work.child()
        still.suspend()
        work.wait_for(lambda: work.heard("got nowhere for 8 s; it will be tried again"))
        assert not still.is_running()
        work.wait_for(lambda: work.heard("goes on after epoch"))
        work.child().suspend()
        work.join()
        (trial,) = work.study.optuna.get_trials()
        assert (trial.state.name, trial.user_attrs["end_cause"]) == ("FAIL", "hung")


def test_damaged_weights_are_written_again_from_the_state(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=40",))
    with working(database, tmp_path) as work:
        work.wait_for(lambda: work.epochs() >= 4)
    study = open_study(database, "small")
    pointers = checkpoints.pointers_of(study.engine, study.optuna.get_trials()[0]._trial_id)
    sha = pointers["best"].blob
    file = tmp_path / "artifacts" / "blobs" / sha[:2] / sha[2:]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with working(database, tmp_path) as work:
        work.wait_for(lambda: work.heard(f"goes on after epoch {pointers['last'].epoch}"))
        assert work.heard("best weights damaged")
        work.join()
    assert study.optuna.get_trials()[0].state.name == "COMPLETE"
    best = checkpoints.pointers_of(study.engine, study.optuna.get_trials()[0]._trial_id)["best"]
    assert open_blobs(str(tmp_path / "artifacts")).read(best.blob)
    study.close()


def test_a_damaged_checkpoint_is_seen_and_the_one_before_is_used(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=40",))
    blobs = tmp_path / "artifacts" / "blobs"
    with working(database, tmp_path) as work:
        work.wait_for(lambda: work.epochs() > 4)  # the first rung: by then it was saved twice
    study = open_study(database, "small")
    pointers = checkpoints.pointers_of(study.engine, study.optuna.get_trials()[0]._trial_id)
    sha = pointers["last"].blob
    file = blobs / sha[:2] / sha[2:]
    file.write_bytes(file.read_bytes()[:-100])
    with working(database, tmp_path) as work:
        work.join()
        assert work.heard("damaged checkpoint")
        assert work.heard(f"goes on after epoch {pointers['last before'].epoch}")
    trial = study.optuna.get_trials()[0]
    check_history(study, 40)
    assert trial.state.name == "COMPLETE"
    best = checkpoints.pointers_of(study.engine, trial._trial_id)["best"]
    assert open_blobs(str(tmp_path / "artifacts")).read(best.blob)
    study.close()


@pytest.mark.long
@pytest.mark.parametrize("in_its_place", ["a file", "an empty folder"])
def test_an_artifact_store_that_is_away_is_waited_for(
    in_its_place: str, database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=40",))
    artifacts, aside, foreign = tmp_path / "artifacts", tmp_path / "aside", tmp_path / "foreign"
    with working(database, tmp_path) as work:
        work.wait_for(lambda: work.epochs() >= 1)
        artifacts.rename(aside)
        if in_its_place == "a file":
            artifacts.write_text("no folder")
        else:  # as where a disk is not mounted
            artifacts.mkdir()
        work.wait_for(lambda: work.heard("waits for the artifact store"))
        time.sleep(3.0)
        artifacts.rename(foreign)
        aside.rename(artifacts)
        work.join()
        (trial,) = work.study.optuna.get_trials()
        assert trial.state.name == "COMPLETE"
        check_history(work.study, 40)
        assert not work.heard("tried again")  # nothing died of it
        pictures = [key for key in trial.system_attrs if key.startswith("artifacts:")]
        assert len(pictures) == 3
    assert foreign.is_file() or not [*foreign.rglob("*")]  # nothing was put where the store was not


@pytest.mark.long
def test_a_wait_for_the_artifact_store_is_no_hang(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=40",))
    artifacts, aside = tmp_path / "artifacts", tmp_path / "aside"
    with working(database, tmp_path, hang_s=8.0) as work:
        work.wait_for(lambda: work.epochs() >= 1)
        artifacts.rename(aside)
        work.wait_for(lambda: work.heard("waits for the artifact store"))
        time.sleep(20.0)  # the trial's process looks after 15.5 s, then after 15 more
        aside.rename(artifacts)
        work.join()
        assert not work.heard("got nowhere")
        assert not work.heard("goes on after epoch")
        assert [trial.state.name for trial in work.study.optuna.get_trials()] == ["COMPLETE"]


@pytest.mark.long
def test_a_paused_study_keeps_its_trials_and_goes_on(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=60",))
    with working(database, tmp_path) as work:
        work.wait_for(lambda: work.heard("starts"))
        give_order(work.study, Order.PAUSED)
        work.wait_for(lambda: work.heard("the study is paused"))
        work.wait_for(lambda: read_status(work.study).trials["interrupted"] == 1)
        before = work.epochs()
        time.sleep(2.0)
        assert 0 < work.epochs() == before < 60
        give_order(work.study, Order.RUNNING)
        work.join()
        assert work.heard(f"goes on after epoch {before}")
        check_history(work.study, 60)


@pytest.mark.long
def test_a_study_extended_while_a_worker_trains_keeps_that_worker(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=60",))
    with working(database, tmp_path) as work:
        work.wait_for(lambda: work.epochs() >= 1)
        extend_budget(work.study, trials=1, gpu_s=0.0, until_s=0.0)
        work.join()
        status = read_status(work.study)
        assert (status.budget.trials, status.spent) == (2, 2)
        assert status.trials["complete"] + status.trials["pruned"] == 2


@pytest.mark.long
def test_a_second_signal_ends_a_worker_at_once_and_loses_nothing(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("train.epochs=30",))
    study = open_study(database, "small")
    options = ["--study=small", "--device=cpu", "--threads=1", "--lease=2s", "--drain"]
    command = [sys.executable, "-m", "search", "worker", *options]
    place = {
        "SEARCH_STORAGE": database, "SEARCH_ARTIFACTS": str(tmp_path / "artifacts"), "SEARCH_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    with subprocess.Popen(command, env=os.environ | place, stdout=subprocess.DEVNULL) as worker:
        wait_for(lambda: any(line.epochs >= 2 for line in read_trials(study)))
        family = psutil.Process(worker.pid).children(recursive=True)
        worker.send_signal(signal.SIGSTOP)  # three signals before it can have obeyed the second
        for number in (signal.SIGTERM, signal.SIGINT):
            worker.send_signal(number)
        worker.send_signal(signal.SIGCONT)
        worker.send_signal(signal.SIGTERM)
        worker.wait(20)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    with working(database, tmp_path) as work:
        work.join()
        assert work.heard("goes on after epoch")
        check_history(work.study, 30)
    study.close()
