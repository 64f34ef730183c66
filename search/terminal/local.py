"""Workers of one host under one terminal: started as processes of their own, shown together,
stopped together.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import DBAPIError

from objectives.errors import WorldError
from search.database.capacity import ask_capacity
from search.machine.gpus import offer
from search.machine.hosts import cores
from search.place import Place
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.terminal.how import How
from search.terminal.progress import show_until
from search.waits import AGAIN

STOP_S = 30.0  # how long workers may take to give their trials back
Process = subprocess.Popen[bytes]
ANYHOW = How()


def run_locally(
    study: str, place: Place, *, workers: int, how: How = ANYHOW, source: str = ""
) -> None:
    """Run so many workers on a study until they have ended, with progress in the terminal.

    ``source`` is where the data lies on this host, if not where the study says. Ctrl-C or SIGTERM
    stops them: each gives its trial back, and the same command goes on later. A second one kills
    them.

    Raises:
        WorldError: A worker has failed, with the words of the first.
    """
    offered = offer(how.device)
    # workers say it into their logs, which nobody reads while all goes well
    for remark in offered.remarks:
        print(f"search: {remark}", file=sys.stderr)
    if remark := too_many(workers, how.per_gpu, gpus=len(offered.gpus)):
        print(f"search: {remark}", file=sys.stderr)
    # fewer beside the workers of another run
    most_threads = 0 if offered.gpus else max(1, int(cores()) // workers)
    command = [
        sys.executable,
        "-m",
        "search",
        "worker",
        f"--study={study}",
        f"--artifacts={place.artifacts}",
    ]
    command += [f"--cache={place.cache}", f"--most-threads={most_threads}", *how.words]
    command += [f"--data={source}"] if source else []
    command += [f"--with-parent={os.getpid()}"]
    if warning := ask_capacity(place.storage).warning(workers):
        print(f"search: {warning}", file=sys.stderr)
    opened = open_study(place.storage, study)
    with TemporaryDirectory(prefix="search-") as logs:
        paths = [Path(logs) / f"worker-{i}.log" for i in range(workers)]
        try:
            with _started(command, place, paths) as processes:
                show_until(
                    opened,
                    lambda: all(process.poll() is not None for process in processes),
                    Setbacks(paths),
                )
        except (KeyboardInterrupt, SystemExit):
            _say_stopped(opened)
            raise
        finally:
            opened.close()
        failed = [
            path for path, process in zip(paths, processes, strict=True) if process.returncode != 0
        ]
        if failed:
            raise WorldError(
                f"{len(failed)} of {workers} workers failed; the first said: "
                f"{_last_words(failed[0])}"
            )


def too_many(workers: int, per_gpu: str, *, gpus: int) -> str:
    """Return that GPUs have fewer slots than there are workers, where that is known; else nothing."""
    slots = gpus * int(per_gpu) if per_gpu.isdecimal() else 0
    if not 0 < slots < workers:
        return ""
    return f"{gpus} GPU(s) have {slots} slot(s): {workers - slots} of {workers} workers stand by"


class Setbacks:
    """What workers say into their logs of a trial that cannot go on here and is tried again: each
    reason once, however often it is tried.
    """

    def __init__(self, logs: Sequence[Path]) -> None:
        self._read_to = dict.fromkeys(logs, 0)
        self._known = set[str]()

    def __call__(self) -> list[str]:
        """Return what is new since the last call."""
        new = []
        for log, start in self._read_to.items():
            with log.open("rb") as opened:
                opened.seek(start)
                whole, _, _ = opened.read().rpartition(b"\n")
            self._read_to[log] = start + len(whole) + bool(whole)
            for line in whole.decode(errors="replace").splitlines():
                said, again, _ = line.partition(AGAIN)
                reason = said.partition(": ")[2]  # without the worker's number
                if again and reason not in self._known:
                    self._known.add(reason)
                    new.append(f"{reason}; trying again")
        return new


@contextmanager
def _started(command: list[str], place: Place, logs: list[Path]) -> Iterator[list[Process]]:
    """Workers, each with its log; on the way out they give their trials back and end.

    On an embedded database they are users of their own: it lasts until the last of them has left,
    whatever ends this process.
    """
    # a URL may hold a password, which `ps` would show in a command
    where = (
        {"SEARCH_STORAGE": "", "SEARCH_HOME": str(place.home)}
        if place.home
        else {"SEARCH_STORAGE": place.storage}
    )
    environment = os.environ | where
    processes: list[Process] = []
    try:
        for log in logs:
            # a session of their own: Ctrl-C reaches them once, through us
            with log.open("wb") as out:
                processes.append(
                    subprocess.Popen(
                        command, env=environment, stdout=out, stderr=out, start_new_session=True
                    )
                )
        yield processes
    finally:
        _stop(processes)


def _stop(processes: list[Process]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_S
    try:
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _say_stopped(study: Study) -> None:
    with suppress(DBAPIError):
        left = read_status(study).trials["interrupted"]
        print(
            f"search: stopped; {left} trial(s) interrupted; the same command goes on where it "
            f"stood",
            file=sys.stderr,
        )


def _last_words(log: Path) -> str:
    """Return a worker's error, which begins with the program's name; without one, its last line."""
    words = log.read_text(errors="replace").strip()
    _, *errors = re.split(r"^search: ", words, flags=re.MULTILINE)
    last = errors[-1] if errors else words.rpartition("\n")[2]
    return " ".join(last.split()) or "no word"
