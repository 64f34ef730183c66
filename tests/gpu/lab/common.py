"""What the steps share: where they run, the project's command line, processes that are left over,
and the GPU's figures.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from objectives.data.dataset import Dataset

SLOW = float(os.environ.get("GPULAB_SLOW", "1"))
CUDA = os.environ.get("GPULAB_DEVICE", "cuda") != "cpu"
DEVICE = "cuda" if CUDA else "cpu"
WORK = Path(os.environ.get("GPULAB_WORK", "/tmp/gpulab-run"))
HERE = Path(__file__).resolve().parent
FRAMES = HERE.parent / "data" / "frames.npz"  # real ones, where prepare.sh was given some
# in the environment of all that a step starts, so that what is left of it can be told from all else
MARK = "GPULAB_MARK"


def say(*words: object) -> None:
    """Print a line at once: a step that is cut off leaves what it has found."""
    print(*words, flush=True)


def verdict(good: bool | None, text: str) -> None:
    """Print the line that on-device.sh repeats: ok, BAD, or skipped for None."""
    say("VERDICT", "skipped" if good is None else "ok" if good else "BAD", text)


def home(name: str) -> Path:
    """Make a fresh folder; the embedded database's own user must be able to enter it."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def search(
    *words: object, timeout: float, storage: str = "", log: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command of the project to its end, and print the end of its output."""
    process = start(*words, storage=storage, log=log)
    try:
        out, _ = process.communicate(timeout=SLOW * timeout)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            out, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        out = (out or "") + f"\ngpulab: cut off after {timeout:.0f} s"
    out = out or ""
    say("$ search", *words, "->", process.returncode)
    say("\n".join(line[:240] for line in out.strip().splitlines()[-12:]))
    return subprocess.CompletedProcess(process.args, process.returncode, out)


def start(*words: object, storage: str = "", log: Path | None = None) -> subprocess.Popen[str]:
    """Start one command of the project; with ``log`` its words go there."""
    environment = os.environ | {"SEARCH_WAIT": f"{20 * SLOW:.0f}s", "COLUMNS": "110"}
    environment |= {"SEARCH_STORAGE": storage} if storage else {}
    out = log.open("w") if log else subprocess.PIPE
    command = [sys.executable, "-m", "search", *map(str, words)]
    return subprocess.Popen(
        command, env=environment, stdout=out, stderr=subprocess.STDOUT, text=True
    )


def query(url: str, statement: str, *values: object) -> list[tuple]:
    """Return rows of the database that the project writes."""
    import psycopg2

    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()
    finally:
        connection.close()


TRIALS = """
    SELECT number, state::text, datetime_start, datetime_complete,
           (SELECT value_json FROM trial_user_attributes AS a WHERE a.trial_id = t.trial_id AND key = 'end_cause'),
           (SELECT value_json FROM trial_user_attributes AS a WHERE a.trial_id = t.trial_id AND key = 'scored_on'),
           (SELECT left(value_json, 300) FROM trial_user_attributes AS a WHERE a.trial_id = t.trial_id AND key = 'message'),
           (SELECT value_json FROM trial_user_attributes AS a WHERE a.trial_id = t.trial_id AND key = 'train_seconds'),
           (SELECT count(*) FROM trial_intermediate_values AS v WHERE v.trial_id = t.trial_id)
    FROM trials AS t JOIN studies USING (study_id) WHERE study_name = %s ORDER BY number
"""


def trials(url: str, study: str) -> list[dict]:
    """Return the trials of a study, each with the columns of `TRIALS` by name."""
    keys = (
        "number",
        "state",
        "begun",
        "ended",
        "cause",
        "scored_on",
        "message",
        "train_seconds",
        "epochs",
    )
    found = [dict(zip(keys, row, strict=True)) for row in query(url, TRIALS, study)]
    for each in found:
        for key in ("cause", "scored_on"):
            each[key] = json.loads(each[key]) if each[key] else ""
        each["train_seconds"] = float(each["train_seconds"] or 0)
    return found


def counted(found: list[dict], key: str) -> dict[str, int]:
    """Return how many trials have each value."""
    values = [each[key] for each in found]
    return {value: values.count(value) for value in dict.fromkeys(values)}


def leftovers(mark: str) -> list[psutil.Process]:
    """Return the processes that a step has started and that nobody has ended, but for this one and
    its parents.
    """
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid not in mine
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(MARK) == mark
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def describe_leftovers(mark: str, wait_s: float = 7.0) -> str:
    """Say what is left some seconds after the last command has ended; prefetchers would have
    noticed by then.
    """
    time.sleep(wait_s)
    found = [
        p
        for p in leftovers(mark)
        if "postgres" not in p.name() and "resource_tracker" not in " ".join(p.cmdline())
    ]
    unique = 0
    for process in found:
        try:
            unique += process.memory_full_info().uss
        except psutil.Error:
            continue
        say(
            "  left over:", process.pid, "parent", process.ppid(), " ".join(process.cmdline())[:120]
        )
    return f"{len(found)} processes left over with {unique / 2**20:.0f} MiB of their own"


def sweep(mark: str) -> int:
    """End what a step has left, by process id; return how many there were."""
    found = leftovers(mark)
    for process in found:
        try:
            process.kill()
        except psutil.Error:
            continue
    return len(found)


def mean(values: list[float]) -> float:
    """Return the mean of some numbers, 0 without any."""
    return sum(values) / max(1, len(values))


class Watch:
    """Samples of the GPU's and the CPU's use while the ``with`` block lasts."""

    def __init__(self) -> None:
        self.gpu: list[float] = []
        self.memory: list[float] = []
        self.cpu: list[float] = []
        self.over = threading.Event()

    def __enter__(self) -> "Watch":
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def _sample(self) -> None:
        handle = None
        if CUDA:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        psutil.cpu_percent()
        while not self.over.wait(0.25):
            self.cpu.append(psutil.cpu_percent() * psutil.cpu_count() / 100)
            if handle is not None:
                self.gpu.append(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                self.memory.append(pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**30)

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def __str__(self) -> str:
        busy, most = mean(self.gpu), max(self.memory, default=0)
        return f"GPU busy {busy:.0f} %, most memory {most:.1f} GiB, {mean(self.cpu):.1f} cores busy"


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Yield the URL of an embedded Postgres in a folder; it runs as long as the block lasts."""
    from search.database.embedded import embedded_postgres

    began = time.monotonic()
    with embedded_postgres(folder) as url:
        say(f"postgres started in {time.monotonic() - began:.1f} s: {url}")
        yield url


def data_set(count: int, size: tuple[int, int] | None = None) -> "Dataset":
    """Return prepared frames: the real ones that were brought along, or so many generated ones;
    resized ones are generated.
    """
    from objectives.data.dataset import DataOptions, open_dataset

    frames = str(FRAMES) if FRAMES.exists() and size is None else f"synthetic:{count}"
    return open_dataset(frames, DataOptions(size=size), WORK / "cache")


def source(count: int) -> str:
    """Return the same as a word for ``--data``; small counts are generated."""
    return str(FRAMES) if FRAMES.exists() and count > 1000 else f"synthetic:{count}"
