"""Workers of one host under one terminal: started as processes of their own, shown together, stopped together."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from objectives.errors import WorldError
from search.commands.options import Place
from search.hosts import cores
from search.progress import show_until
from search.study import open_study

STOP_S = 30.0  # how long workers may take to give their trials back


def run_locally(study: str, place: Place, *, workers: int, device: str) -> None:
    """Run so many workers on a study until they have ended, with progress in the terminal.

    Raises: WorldError when every worker has failed, with the last words of one.
    """
    threads = max(1, int(cores()) // workers) if device == "cpu" else 0
    command = [sys.executable, "-m", "search", "worker", "--study", study, "--storage", place.storage]
    command += ["--artifacts", place.artifacts, "--cache", str(place.cache), "--device", device, "--threads", str(threads)]
    opened = open_study(place.storage, study)
    with TemporaryDirectory(prefix="search-") as logs:
        paths = [Path(logs) / f"worker-{i}.log" for i in range(workers)]
        with _started(command, paths) as processes:
            show_until(opened, lambda: all(process.poll() is not None for process in processes))
        opened.close()
        failed = [path for path, process in zip(paths, processes, strict=True) if process.returncode != 0]
        if failed:
            words = failed[0].read_text(errors="replace").strip().splitlines() or ["no word"]
            raise WorldError(f"{len(failed)} of {workers} workers failed; the first said: {words[-1]}")


@contextmanager
def _started(command: list[str], logs: list[Path]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers, each with its log; on the way out, also by Ctrl-C or SIGTERM, they give their trials back and end."""
    signal.signal(signal.SIGTERM, _interrupt)
    processes = []
    try:
        for log in logs:
            with log.open("wb") as out:  # a session of their own: Ctrl-C reaches them once, through us
                processes.append(subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True))
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
