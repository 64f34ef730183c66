"""Real workers under a real Slurm: an array on fake GPUs, of which tasks are preempted, requeued, at
their time limit, killed and cancelled. Needs root, slurm-wlm and munge: run by ``make slurm-test``.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from tests.slurm.cluster import Cluster, cluster, lacking
from tests.support.ports import free_port
from tests.support.served import Serving, serving
from tests.support.waiting import wait_for

TRIALS, EPOCHS, TASKS = 6, 80, 3
KILLED = 137
MARK = "SLURM_TEST"  # in the environment of every process, so that none is overlooked

pytestmark = [
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Cluster]:
    """A cluster of this test's own."""
    with tempfile.TemporaryDirectory(prefix="search-slurm-") as folder:
        Path(folder).chmod(0o755)
        with cluster(Path(folder)) as made:
            yield made


@dataclass
class Array:
    """The tasks of a study's workers."""

    lab: Cluster
    served: Serving
    mark: str
    job: str = ""
    tasks: list[str] = field(default_factory=list)

    def submit(self, script: str, *words: str) -> None:
        """Hand over the script as ``search slurm`` has printed it."""
        file = self.lab.folder / "worker.sbatch"
        file.write_text(script)
        settings = {**self.served.settings, MARK: self.mark, "SEARCH_LEASE": "6s"}
        cache = {"SEARCH_CACHE": str(self.lab.folder / "cache")}
        options = ["--signal=B:TERM@40", f"--output={self.mark}-%a.out"]
        said = self.lab.call(
            "sbatch", "--parsable", *options, str(file), *words, **settings | cache
        )
        self.job = said.strip()
        self.tasks = [f"{self.job}_{number}" for number in range(TASKS)]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the study's database."""
        with (
            closing(psycopg2.connect(self.served.storage)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())

    def log(self, task: str) -> str:
        """Return all that a task has said, over all its lives."""
        file = self.lab.folder / f"{self.mark}-{task.rpartition('_')[2]}.out"
        return file.read_text(errors="replace") if file.exists() else ""

    def all_logs(self) -> str:
        return "\n".join(f"{task}:\n{self.log(task)}" for task in self.tasks)

    def restarts(self, task: str) -> int:
        return int(self.lab.show(task)["Restarts"])

    def run_s(self, task: str) -> int:
        """Return the seconds of a task's present life."""
        hours, minutes, seconds = map(int, self.lab.show(task)["RunTime"].split(":"))
        return 3600 * hours + 60 * minutes + seconds

    def trains(self, task: str) -> bool:
        """Return whether a task's present worker has trained an epoch of some trial."""
        words = self.log(task).partition(f"worker {self.worker(task)}: trial ")[2]
        return " epoch " in words

    def wait(self, what: Callable[[], Any], timeout_s: float = 120) -> None:
        wait_for(what, timeout_s, told=lambda: f"{self.all_logs()}\n{self.lab.logs()}")

    def worker(self, task: str) -> int:
        """Return the process of a task's worker, the child of its script; 0 without one."""
        number = task.rpartition("_")[2]
        found = [
            process.pid
            for process in marked(self.mark)
            if "worker" in words_of(process)
            and any("slurm_script" in word for word in words_of(process.parent()))
            and environment_of(process).get("SLURM_ARRAY_TASK_ID") == number
        ]
        return found[0] if found else 0


def words_of(process: psutil.Process | None) -> list[str]:
    try:
        return process.cmdline() if process else []
    except psutil.Error:  # it has just ended
        return []


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # it has just ended
        return {}


def marked(mark: str) -> list[psutil.Process]:
    """Every living process of the test, but this one."""
    return [each for each in psutil.process_iter() if environment_of(each).get(MARK) == mark]


@pytest.fixture
def array(lab: Cluster, search: Any) -> Iterator[Array]:
    """A study that is served, and whose tasks are not submitted yet."""
    home = lab.folder / uuid.uuid4().hex
    with serving(search, home, free_port(), "--artifacts", home / "shared") as served:
        yield Array(lab, served, uuid.uuid4().hex)
        lab.call("scancel", "--user=root")
        wait_for(lambda: not lab.call("squeue", "--noheader").strip(), told=lab.logs)


def printed(search: Any, array: Array, *words: str) -> str:
    """Write a study; return the script of its workers."""
    there = array.served.settings
    sets = ["--set", f"train.epochs={EPOCHS}", "--set", "pruning={kind: none}"]
    made = ["--study", "lab", "--data", "synthetic:40", "--space", "tiny", *sets]
    done = search("init", *made, "--trials", TRIALS, **there)
    assert done.returncode == 0, done.stderr
    asked = ["--study", "lab", "--gres", "gpu:1", "--cpus", "1", "--device", "cpu", "--time", "30"]
    done = search("slurm", *asked, "--workers", TASKS, *words, **there)
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


def test_tasks_that_are_taken_away_come_back_and_every_trial_ends_once(
    search: Any, array: Array
) -> None:
    lab = array.lab
    array.submit(printed(search, array, "--partition", "spot"), "--verbose")
    array.wait(lambda: all(map(array.trains, array.tasks)))
    workers = [psutil.Process(array.worker(task)) for task in array.tasks]
    gpus = {environment_of(worker)["CUDA_VISIBLE_DEVICES"] for worker in workers}
    assert gpus == {"0", "1", "2"}

    # all GPUs are taken: one task is preempted
    lab.call("sbatch", "--partition=high", "--gres=gpu:1", "--output=high.out", "--wrap=sleep 1")
    array.wait(lambda: any(map(array.restarts, array.tasks)))
    (preempted,) = [task for task in array.tasks if array.restarts(task)]
    limited, requeued = [task for task in array.tasks if task != preempted]
    near = (array.run_s(limited) + 30) // 60 + 1  # minutes; it is told 40 s before
    lab.call("scontrol", "update", f"JobId={limited}", f"TimeLimit={near}")
    lab.call("scontrol", "requeue", requeued)
    array.wait(lambda: all(map(array.restarts, array.tasks)))
    lab.call("scontrol", "update", f"JobId={limited}", "TimeLimit=30")
    assert "worker was asked to leave; its task comes back" in array.log(limited)

    array.wait(lambda: array.trains(preempted))
    os.kill(array.worker(preempted), signal.SIGKILL)
    array.wait(lambda: lab.show(preempted)["JobState"] == "FAILED")
    assert lab.show(preempted)["ExitCode"] == f"{KILLED}:0"
    for task in (limited, requeued):
        array.wait(lambda task=task: lab.show(task)["JobState"] == "COMPLETED", 300)
    assert [array.restarts(task) for task in array.tasks] == [1] * TASKS
    check_trials(array)
    array.served.process.terminate()
    assert array.served.process.wait(30) == 0
    assert not marked(array.mark)


def check_trials(array: Array) -> None:
    """Every trial is there once, under its number, with all its epochs; four were begun again."""
    ended = array.query("SELECT number, state FROM trials ORDER BY number")
    assert ended == [(number, "COMPLETE") for number in range(TRIALS)]
    epochs = array.query("""SELECT number, array_agg(step ORDER BY step) FROM trials
        JOIN trial_intermediate_values USING (trial_id) GROUP BY number ORDER BY number""")
    assert epochs == [(number, [*range(1, EPOCHS + 1)]) for number in range(TRIALS)]
    logs = array.all_logs()
    told = Counter(map(int, re.findall(r"trial (\d+) completed", logs)))
    assert told == dict.fromkeys(range(TRIALS), 1)
    begun = Counter(map(int, re.findall(r"trial (\d+) (?:starts|goes on)", logs)))
    assert set(begun) == set(range(TRIALS))
    again = sum(begun.values()) - TRIALS
    assert again == 4, logs  # preempted, requeued, at its limit, killed


def test_a_cancelled_array_stays_away_and_gives_its_trials_back(search: Any, array: Array) -> None:
    lab = array.lab
    array.submit(printed(search, array), "--verbose")
    array.wait(lambda: all(map(array.trains, array.tasks)))
    lab.call("scancel", array.job)
    array.wait(lambda: not lab.call("squeue", "--noheader").strip())
    for task in array.tasks:
        shown = lab.show(task)
        assert (shown["JobState"], shown["Restarts"]) == ("CANCELLED", "0")
    running = (
        "SELECT count(*) FROM trials JOIN search_lease USING (trial_id) WHERE state = 'RUNNING'"
    )
    assert array.query(running) == [(TASKS,)]
    assert array.query(f"{running} AND owner = ''") == [(TASKS,)], "given back at once"
    assert not marked(array.mark)


def test_a_database_may_be_a_job(search: Any, lab: Cluster) -> None:
    home, port = lab.folder / uuid.uuid4().hex, free_port()
    program = f"{sys.executable} -m search"
    serve = f"exec {program} serve --home {home} --host 127.0.0.1 --port {port}"
    job = lab.call("sbatch", "--parsable", "--output=serve.out", f"--wrap={serve}").strip()
    log = lab.folder / "serve.out"
    wait_for(lambda: log.exists() and log.read_text().count("export SEARCH_") == 2, told=lab.logs)
    password = (home / "serve.password").read_text().strip()
    assert password not in log.read_text(), "others can read it"
    asked = f". <(grep ^export serve.out) && {program} serve --check"
    for code in (0, 1):
        done = subprocess.run(["bash", "-c", asked], cwd=lab.folder, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        if code == 0:
            assert "answers; connections" in done.stdout
            lab.call("scancel", job)
            wait_for(lambda: not lab.call("squeue", "--noheader").strip(), told=lab.logs)
    assert not (home / "postgres" / "postmaster.pid").exists(), "it was stopped, not killed"
