"""``search run`` on an embedded database, and what stands beside its outputs: what dies with it,
and what it must not touch.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from audit import Row, audit
from outages import fill, full_disk
from scene import MARK, descendants_marked, read, scene

TRIALS, EPOCHS = 3, 40
GONE_S = 10.0  # how long a process may outlive what it belongs to


@dataclass
class Home:
    """An embedded study of ``search run`` and the processes that belong to it."""

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pid_file(self) -> Path:
        return self.root / "home" / "postgres" / "postmaster.pid"

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """A command of the program on this home alone, and its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SEARCH_")}
        where = {"SEARCH_HOME": str(self.root / "home"), "SEARCH_STUDY": "faults", MARK: self.mark}
        return [sys.executable, "-m", "search", *words], kept | where

    def run(self) -> subprocess.Popen[bytes]:
        """Start the run, or go on with it."""
        words = [
            "run",
            "--data",
            "synthetic:40",
            "--space",
            "tiny",
            "--trials",
            str(TRIALS),
            "--workers",
            "2",
            "--device",
            "cpu",
        ]
        command, environment = self.command(*words, "--set", f"train.epochs={EPOCHS}")
        with (self.root / "run.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        return process

    def status(self) -> dict[str, dict[str, int]]:
        """What `search status --json` says."""
        command, environment = self.command("status", "--json")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def trains(self) -> bool:
        """Whether a trial's process is at work."""
        return any(
            read(f"/proc/{pid}/oom_score_adj").strip() == "1000"
            for pid in descendants_marked(self.mark)
        )

    def wait_for_training(self) -> None:
        """Wait until a trial has trained for a moment."""
        deadline = time.monotonic() + 240.0
        while not self.trains():
            assert time.monotonic() < deadline, (self.root / "run.log").read_text()[-1000:]
            time.sleep(0.05)
        time.sleep(2.0)

    def kill_all(self) -> None:
        """Kill every process of the scene, as a power cut does."""
        while left := descendants_marked(self.mark):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def row(self, fault: str, injected: int, wrong: list[str], note: str = "") -> Row:
        """The line of the table, of what `search status` counts in the end."""
        counts = self.status()["trials"]
        there, ended = sum(counts.values()), sum(counts[state] for state in ("complete", "pruned"))
        wrong += (
            [] if ended == there == TRIALS else [f"trials are {counts}, the budget is {TRIALS}"]
        )
        wrong += [f"it was left: {left}"] if (left := self.left_after(GONE_S)) else []
        return Row(fault, injected, there, there - ended, 0, there == TRIALS, 0, 0.0, wrong, note)

    def left_after(self, seconds: float) -> list[str]:
        """The processes of the scene that are there after so long."""
        deadline = time.monotonic() + seconds
        while (left := descendants_marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [read(f"/proc/{pid}/cmdline").replace("\0", " ")[:80] for pid in left]


@contextmanager
def a_home() -> Iterator[Home]:
    """A fresh home; in the end nothing of it is left."""
    root = Path(tempfile.mkdtemp(prefix="search-home-"))
    root.chmod(0o755)
    made = Home(root)
    try:
        yield made
    finally:
        made.kill_all()
        for process in made.started:
            process.wait(30)
        shutil.rmtree(root, ignore_errors=True)


def killed_run() -> Row:
    """Kill -9 of `search run`, three times: its workers, trials and database end with it; the same
    command ends the study.
    """
    with a_home() as at:
        wrong, slowest = list[str](), 0.0
        for _ in range(3):
            run = at.run()
            at.wait_for_training()
            run.kill()
            began = time.monotonic()
            left = at.left_after(GONE_S)
            slowest = max(slowest, time.monotonic() - began)
            wrong += [f"left after {GONE_S:g} s: {', '.join(left)}"] if left else []
            wrong += [] if at.status()["trials"]["interrupted"] else ["no trial was given back"]
        code = at.run().wait(600)
        wrong += [f"the run that went on ended with {code}"] if code else []
        return at.row(
            "kill -9 of `search run`", 3, wrong, f"all gone after {slowest:.1f} s at most"
        )


def strangers_number() -> Row:
    """Everything killed at once, and the server's number is a stranger's by then, who trains on:
    the study goes on.
    """
    stranger = subprocess.Popen(["sleep", "3600"])
    try:
        with a_home() as at:
            at.run()
            at.wait_for_training()
            at.kill_all()
            for file in (at.pid_file, at.pid_file.parent / ".s.PGSQL.5432.lock"):
                _, rest = file.read_text().split("\n", 1)
                file.write_text(f"{stranger.pid}\n{rest}")
            users = at.root / "home" / "postgres" / ".handle_pids.json"
            users.write_text(json.dumps([*json.loads(users.read_text()), stranger.pid]))
            (at.root / "home" / "postgres.users").write_text(json.dumps({stranger.pid: 1.0}))
            code = at.run().wait(600)
            wrong = [f"the run that went on ended with {code}"] if code else []
            wrong += ["the server outlived its users"] if at.pid_file.exists() else []
            wrong += ["the stranger was killed"] if stranger.poll() is not None else []
            return at.row("a stranger's number in postmaster.pid", 1, wrong)
    finally:
        stranger.kill()
        stranger.wait()


def full_at_exchange() -> Row:
    """The disk is full while a bundle is to take the place of another: the old one stays whole
    until there is room.
    """
    with full_disk() as folder, scene(1, 2) as at:
        at.finish(1)
        out, wrong = folder / "model", list[str]()

        def export() -> subprocess.CompletedProcess[str]:
            return at.run("export-best", "--no-test", "--force", "--out", str(out))

        first = export()
        assert first.returncode == 0, first.stderr
        before = sums(out)
        fill(folder / "ballast")
        for room in (0, 100_000):  # at the first file, and in the middle of later ones
            os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - room)
            done = export()
            wrong += (
                []
                if done.returncode == 1 and "No space left" in done.stderr
                else [f"it ended with {done.stderr}"]
            )
            wrong += (
                [] if sums(out) == before else [f"the old bundle was harmed with {room} bytes free"]
            )
            wrong += (
                []
                if {path.name for path in folder.iterdir()} == {"model", "ballast"}
                else ["a part of the new one is left"]
            )
            fill(folder / "ballast")
        (folder / "ballast").unlink()
        last = export()
        wrong += [] if last.returncode == 0 else [f"the last try ended with {last.stderr}"]
        wrong += (
            []
            if [path.name for path in folder.iterdir()] == ["model"]
            else ["something is left beside the bundle"]
        )
        row = audit(at, "disk full while a bundle is exchanged", 2)
        row.wrong += wrong
        return row


def sums(bundle: Path) -> dict[str, str]:
    """The hash of each file of a bundle, which must be those that it states."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in bundle.iterdir()}
    stated = (line.split("  ") for line in (bundle / "SHA256SUMS").read_text().splitlines())
    assert all(found[name] == digest for digest, name in stated), "the bundle is not whole"
    return found


ALL = [killed_run, strangers_number]
if os.geteuid() == 0:  # it needs a file system of its own
    ALL += [full_at_exchange]
