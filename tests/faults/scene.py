"""A scene of one fault: a server, a study, workers as real processes, everything that they said,
and what became of it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postgres import Server

INJECTED = str(Path(__file__).parent / "injected")  # beside the program, for its processes
MARK = "FAULTS_SCENE"  # in the environment of every process of a scene, so that none is overlooked
EPOCH = re.compile(r"trial (\d+) epoch (\d+) of \d+: .*, ([\d.]+) s$")
RESUMED = re.compile(r"trial (\d+) goes on after epoch (\d+)$")


@dataclass
class Worker:
    """A worker process and the file with its words."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def words(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """Kill it as the kernel does, its children left to themselves."""
        self.process.kill()
        self.process.wait(30)

    def children(self) -> list[int]:
        """The processes of its trials: each has offered itself to the kernel as the first to go."""
        return [
            pid
            for pid in descendants(self.pid)
            if read(f"/proc/{pid}/oom_score_adj").strip() == "1000" and lives(pid)
        ]


@dataclass
class Scene:
    """One study on one server."""

    server: Server
    root: Path
    budget: int
    epochs: int
    workers: list[Worker] = field(default_factory=list)
    heard: list[tuple[float, str]] = field(default_factory=list)
    # when a worker was killed, its trial, its saved epoch
    saved: list[tuple[float, int, int]] = field(default_factory=list)
    halted: bool = False  # a limit has cut what its trials would still have trained
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    def command(
        self, *words: str, url: str = "", **settings: str
    ) -> tuple[list[str], dict[str, str]]:
        """A command of the program, and its environment."""
        place = {
            "SEARCH_STORAGE": url or self.server.url,
            "SEARCH_ARTIFACTS": str(self.artifacts),
            "SEARCH_CACHE": str(self.root / "cache"),
            "SEARCH_HOME": str(self.root / "home"),
            "SEARCH_STUDY": "faults",
            MARK: self.mark,
        }
        return [
            sys.executable,
            "-m",
            "search",
            *words,
        ], os.environ | place | self.settings | settings

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command, environment = self.command(*words, **settings)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    def init(self, *words: str) -> None:
        """Write the study."""
        settings = ["--trials", str(self.budget), "--set", f"train.epochs={self.epochs}", *words]
        done = self.run("init", "--data", "synthetic:40", "--space", "tiny", *settings)
        assert done.returncode == 0, done.stderr

    def start(self, *words: str, url: str = "", **settings: str) -> Worker:
        """Start a worker; its words are heard as they come."""
        options = ["--device", "cpu", "--threads", "1", "--verbose", "--lease", "8s", *words]
        command, environment = self.command("worker", *options, url=url, **settings)
        log = self.root / f"worker-{len(self.workers)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def listen(self) -> None:
        """Hear what all workers say, until the scene is closed."""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        read_to: dict[Path, int] = {}
        while self.root.exists():
            for worker in list(self.workers):
                try:
                    with worker.log.open("rb") as words:
                        words.seek(read_to.get(worker.log, 0))
                        whole, _, _ = words.read().rpartition(b"\n")
                except FileNotFoundError:  # the scene is closed
                    return
                if whole:
                    read_to[worker.log] = read_to.get(worker.log, 0) + len(whole) + 1
                    now = time.monotonic()
                    self.heard += [
                        (now, line) for line in whole.decode(errors="replace").split("\n")
                    ]
            time.sleep(0.05)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        return self.server.query(sql)

    def states(self) -> dict[str, int]:
        """Trials by state."""
        return {
            str(state): int(count)
            for state, count in self.query("SELECT state, count(*) FROM trials GROUP BY 1")
        }

    def runs(self) -> bool:
        """Whether some trial is under way, at a worker or waiting for one."""
        return bool(self.query("SELECT 1 FROM trials WHERE state = 'RUNNING'"))

    def epochs_done(self, number: int) -> int:
        """Epochs that a trial has reported."""
        steps = "trials LEFT JOIN trial_intermediate_values USING (trial_id)"
        return int(
            self.query(f"SELECT coalesce(max(step), 0) FROM {steps} WHERE number = {number}")[0][0]
        )

    def causes(self, condition: str, attribute: str = "end_cause") -> list[str]:
        """Why the trials ended that meet a condition on the table of trials."""
        told = "trial_user_attributes JOIN trials USING (trial_id)"
        found = self.query(
            f"SELECT value_json FROM {told} WHERE key = '{attribute}' AND {condition} ORDER BY "
            f"number"
        )
        return [str(value).strip('"') for (value,) in found]

    def holders(self, condition: str) -> list[Worker]:
        """The living workers that hold a running trial which meets a condition on the table of
        trials.
        """
        held = (
            "search_worker JOIN search_lease ON owner = search_worker.id JOIN trials USING "
            "(trial_id)"
        )
        live = "trials.state = 'RUNNING' AND expires_at > clock_timestamp()"
        found = self.query(f"SELECT name FROM {held} WHERE {live} AND {condition}")
        pids = {int(str(name).rpartition(":")[2]) for (name,) in found}
        return [worker for worker in self.workers if worker.pid in pids and worker.alive]

    def at_work(self, worker: Worker) -> bool:
        """Whether a worker has joined and its heart beats: it needs nothing but a trial."""
        return bool(
            self.query(
                f"SELECT 1 FROM search_worker WHERE name LIKE '%:{worker.pid}' AND seen_at > "
                f"started_at"
            )
        )

    def owner(self, number: int) -> Worker | None:
        """The worker that holds a trial's lease now."""
        return next(iter(self.holders(f"number = {number}")), None)

    def remember_saved(self, killed: Worker) -> None:
        """Note what a worker that was killed has saved: its trials may not go on from an earlier
        epoch.
        """
        # what was said before the kill is heard by then; its lease lasts for longer
        time.sleep(0.2)
        held = (
            "search_worker JOIN search_lease ON owner = search_worker.id JOIN trials USING "
            "(trial_id)"
        )
        wanted = (
            f"kind = 'last' AND trials.state = 'RUNNING' AND search_worker.name LIKE "
            f"'%:{killed.pid}'"
        )
        found = self.query(
            f"SELECT number, epoch FROM {held} JOIN search_checkpoint USING (trial_id) WHERE "
            f"{wanted}"
        )
        self.saved += [(time.monotonic(), int(number), int(epoch)) for number, epoch in found]

    def said(self, words: str) -> bool:
        """Whether anybody has said this."""
        return any(words in line for _, line in self.heard)

    def wait(
        self, what: Callable[[], Any], why: str, timeout_s: float = 240.0, pause_s: float = 0.02
    ) -> Any:
        """The first true answer."""
        deadline = time.monotonic() + timeout_s
        while not (answer := what()):
            assert time.monotonic() < deadline, f"waited too long: {why}\n{self.last_words()}"
            time.sleep(pause_s)
        return answer

    def finish(self, workers: int = 2, timeout_s: float = 600.0) -> None:
        """Let workers end the study, starting some when none is left."""
        if not any(worker.alive for worker in self.workers):
            for _ in range(workers):
                self.start()
        for worker in self.workers:
            worker.process.wait(timeout_s)
        time.sleep(0.2)  # the last words

    def stop(self) -> None:
        """Stop the study once its fault is over: what its trials would still train proves nothing
        more.
        """
        self.halted = True
        done = self.run("stop")
        assert done.returncode == 0, done.stderr
        self.finish()

    def last_words(self) -> str:
        """The last lines that were heard."""
        return "\n".join(line for _, line in self.heard[-25:])

    def close(self) -> None:
        """End what is left of the scene, by its own numbers."""
        for pid in descendants_marked(self.mark):
            try:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for worker in self.workers:
            worker.process.wait(30)
        self.server.close()
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def scene(
    budget: int, epochs: int = 8, *init: str, settings: tuple[str, ...] = (), write: bool = True
) -> Iterator[Scene]:
    """A fresh scene with its study written."""
    root = Path(tempfile.mkdtemp(prefix="search-faults-"))
    root.chmod(0o755)
    made = Scene(Server(root / "postgres", *settings), root, budget, epochs)
    try:
        made.listen()
        if write:
            made.init(*init)
        yield made
    finally:
        made.close()


def read(path: str) -> str:
    """A small file of /proc; empty when its process is gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    return read(f"/proc/{pid}/stat").rpartition(") ")[2][:1] not in ("", "Z")


def descendants(pid: int) -> list[int]:
    """The processes below one, by /proc."""
    found: list[int] = []
    for child in read(f"/proc/{pid}/task/{pid}/children").split():
        found += [int(child), *descendants(int(child))]
    return found


def descendants_marked(mark: str) -> list[int]:
    """Every living process of a scene, whoever its parent is now."""
    found = []
    for folder in Path("/proc").iterdir():
        if (
            folder.name.isdigit()
            and f"{MARK}={mark}" in read(f"{folder}/environ")
            and lives(int(folder.name))
        ):
            found.append(int(folder.name))
    return found


def holds_open(pid: int, part: str) -> bool:
    """Whether a process, or one below it, has a file open whose path contains this."""
    for each in (pid, *descendants(pid)):
        try:
            links = [str(entry.readlink()) for entry in Path(f"/proc/{each}/fd").iterdir()]
        except OSError:
            continue
        if any(part in link for link in links):
            return True
    return False
