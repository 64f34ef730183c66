"""Two workers that share one real GPU in slots: both train, and when one is killed the other goes on
with its trial.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.place import Place
from search.study.setup import Request, set_up
from search.study.status import read_status
from search.study.stored import Study, open_study
from tests.support.on_device import DEVICE, HAS_CUDA, gpu_uuid, on_device
from tests.support.waiting import wait_for

pytestmark = on_device

TRIALS = 3
EPOCHS = 150 if HAS_CUDA else 15  # long enough for a save
GONE_S = 15.0
Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def study(database: str, tmp_path: Path) -> Iterator[Study]:
    """A study of a few trials, none of which ends early."""
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    sets = ("pruning={kind: none}", f"train.epochs={EPOCHS}", "train.batch_size=8")
    request = Request(name="slots", source="synthetic:60", space="tiny", trials=TRIALS, sets=sets)
    list(set_up(request, place))
    opened = open_study(database, "slots")
    yield opened
    opened.close()


@pytest.fixture
def start(study: Study, database: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker in a slot of two; what still lives at the end is killed."""
    workers: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        words = [
            "worker",
            "--study",
            "slots",
            "--per-gpu",
            "2",
            "--lease",
            "5s",
            "--prefetchers",
            "1",
        ]
        words += ["--device", "cuda:0" if HAS_CUDA else "cpu", "--threads", "1"]
        words += ["--artifacts", str(tmp_path / "artifacts"), "--cache", str(tmp_path / "cache")]
        with (tmp_path / f"worker-{len(workers)}.log").open("wb") as log:
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "search", *words],
                    env=os.environ | {"SEARCH_STORAGE": database},
                    stdout=log,
                    stderr=log,
                )
            )
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
        worker.wait()


def at_work(study: Study) -> list[dict[str, Any]]:
    """The live workers that have a trial."""
    return [
        each for each in read_status(study).workers if each["alive"] and each["trial"] is not None
    ]


def epochs(study: Study) -> dict[int, int]:
    """How many epochs each trial has reported."""
    return {trial.number: len(trial.intermediate_values) for trial in study.optuna.get_trials()}


def test_two_workers_share_a_gpu_and_one_goes_on_where_the_other_was_killed(
    study: Study, start: Start, tmp_path: Path
) -> None:
    def logs() -> str:
        return "".join(path.read_text() for path in tmp_path.glob("worker-*.log"))[-2000:]

    first, second = start(), start()
    both = wait_for(lambda: len(at_work(study)) == 2 and at_work(study), told=logs)
    places = sorted((each["device"], each["slot"], each["slots"]) for each in both)
    expected = [(gpu_uuid(), number, 2) for number in (1, 2)] if HAS_CUDA else [("cpu", 0, 0)] * 2
    assert places == expected

    def begun() -> int | None:
        """The trial of the first worker, once an epoch of it is saved."""
        done = epochs(study)
        mine = [each for each in at_work(study) if each["name"].endswith(f":{first.pid}")]
        return next((each["trial"] for each in mine if done.get(each["trial"])), None)

    number = wait_for(lambda: (begun() is not None) and [begun()], told=logs)[0]
    below = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    _, alive = psutil.wait_procs(below, timeout=GONE_S)
    assert not alive, "its trial and prefetchers end with it"
    assert second.wait(300.0) == 0, logs()
    assert f"trial {number} goes on after epoch" in logs()
    trials = study.optuna.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * TRIALS, logs()
    assert epochs(study) == dict.fromkeys(range(TRIALS), EPOCHS)
    assert {trial.user_attrs["scored_on"] for trial in trials} == {DEVICE.type}
