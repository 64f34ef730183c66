"""`docker compose up --scale worker=4` for real. Needs docker and the built image: run by ``make
compose-test``.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
FILES = ("docker-compose.yml", "docker-compose.cpu.yml")
TRIALS = 8
WORKERS = 4
CALLER = 4321  # an owner that neither root nor the image's user is

pytestmark = pytest.mark.timeout(2400)


@dataclass(frozen=True)
class Stack:
    """A running project in a folder that holds the two compose files and nothing else."""

    folder: Path
    environment: dict[str, str]

    def compose(self, *arguments: str, timeout_s: float = 600) -> str:
        """Standard output of one docker compose command; fails the test with its last words
        otherwise.
        """
        files = [part for name in FILES for part in ("-f", str(self.folder / name))]
        done = subprocess.run(
            ["docker", "compose", *files, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, (
            f"docker compose {' '.join(arguments)}: "
            f"{done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
        )
        return done.stdout

    def up(self) -> None:
        """Start everything, as the README says."""
        self.compose("up", "--detach", "--no-build", "--scale", f"worker={WORKERS}")

    def containers(self, service: str) -> list[dict[str, object]]:
        """``docker inspect`` of the containers of one service, stopped ones too."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        return list(json.loads(subprocess.check_output(["docker", "inspect", *ids]))) if ids else []

    def states(self, service: str) -> list[tuple[str, int, int]]:
        """(status, exit code, restarts) of each container of one service."""
        return [
            (c["State"]["Status"], c["State"]["ExitCode"], c["RestartCount"])
            for c in self.containers(service)
        ]

    def wait_for_workers(self, timeout_s: float = 1500) -> None:
        """Return when no worker runs any more."""
        wait_for(
            lambda: all(status == "exited" for status, *_ in self.states("worker")),
            timeout_s,
            told=lambda: self.compose("logs", "--tail", "30"),
        )

    def status(self) -> dict[str, object]:
        """``search status --json``, asked inside a container."""
        return dict(
            json.loads(self.compose("exec", "-T", "dashboard", "search", "status", "--json"))
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The project after its first `up`, when its workers are done; taken down with its volumes at
    the end.
    """
    folder = tmp_path_factory.mktemp("project")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    if os.geteuid() == 0:
        os.chown(folder, CALLER, CALLER)
    settings = {
        "COMPOSE_PROJECT_NAME": f"search-test-{os.getpid()}",
        "DASHBOARD_PORT": str(free_port()),
        "POSTGRES_PASSWORD": "a:b/c@d%e?f",  # none of these may need quoting by the user
        "SEARCH_STUDY": "compose",
        "SEARCH_DATA": "synthetic",
        "SEARCH_SPACE": "tiny",
        "SEARCH_TRIALS": str(TRIALS),
        "SEARCH_INIT_OPTIONS": "--set train.epochs=4 --seed 1",
    }
    inherited = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("SEARCH_", "COMPOSE_", "DATA_", "OUT_"))
    }
    running = Stack(folder, inherited | settings)
    try:
        running.up()
        running.wait_for_workers()
        yield running
    finally:
        running.compose(
            "--profile", "tools", "down", "--volumes", "--timeout", "5", "--remove-orphans"
        )


def test_four_workers_ran_and_stay_stopped(stack: Stack) -> None:
    assert stack.states("worker") == [("exited", 0, 0)] * WORKERS, stack.compose(
        "logs", "--tail", "40", "worker"
    )


def test_the_image_has_a_numeric_user_and_a_first_process_that_waits_for_orphans(
    stack: Stack,
) -> None:
    for worker in stack.containers("worker"):
        assert re.fullmatch(r"\d+:\d+", worker["Config"]["User"])
        assert worker["Config"]["Entrypoint"] == ["tini", "--", "search"]


def test_the_budget_is_spent_exactly(stack: Stack) -> None:
    status = stack.status()
    assert status["budget"] == {"trials": TRIALS, "spent": TRIALS}
    assert sum(status["trials"].values()) == TRIALS
    assert status["trials"]["complete"] + status["trials"]["pruned"] == TRIALS, status["trials"]


def test_the_dashboard_answers_on_loopback_only(stack: Stack) -> None:
    port = stack.environment["DASHBOARD_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=60) as answer:
        assert "compose" in answer.read().decode()
    (dashboard,) = stack.containers("dashboard")
    assert dashboard["HostConfig"]["PortBindings"] == {
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]
    }


def test_the_database_is_not_published(stack: Stack) -> None:
    (db,) = stack.containers("db")
    assert not db["HostConfig"]["PortBindings"]


def test_nothing_of_ours_runs_as_root(stack: Stack) -> None:
    users = {
        service: stack.containers(service)[0]["Config"]["User"]
        for service in ("init", "dashboard", "worker")
    }
    assert users == dict.fromkeys(users, "1000:1000")


def test_pixels_are_prepared_once_for_all_workers(stack: Stack) -> None:
    maps = stack.compose("exec", "-T", "dashboard", "find", "/cache", "-name", "images.npy").split()
    assert len(maps) == 1, maps


def test_health_checks_pass(stack: Stack) -> None:
    def health() -> set[str]:
        return {
            stack.containers(service)[0]["State"]["Health"]["Status"]
            for service in ("db", "dashboard")
        }

    wait_for(lambda: health() == {"healthy"}, told=health)


def test_export_writes_out_for_the_caller(stack: Stack) -> None:
    out = stack.folder / "out"
    assert not out.exists()
    stack.compose("run", "--rm", "-T", "export-best")
    owner = stack.folder.stat().st_uid
    assert {path.stat().st_uid for path in (out, *out.rglob("*"))} == {owner}
    names = {path.name for path in out.iterdir()}
    assert {
        "model.safetensors",
        "config.json",
        "model.onnx",
        "metrics.json",
        "README.md",
        "SHA256SUMS",
    } <= names
    sums = dict(
        reversed(line.split(maxsplit=1)) for line in (out / "SHA256SUMS").read_text().splitlines()
    )
    listed = {name.lstrip("*./"): digest for name, digest in sums.items()}
    assert set(listed) == names - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest, name


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = stack.status()
    stack.up()
    stack.wait_for_workers(timeout_s=300)
    assert stack.states("worker") == [("exited", 0, 0)] * WORKERS
    assert stack.states("init") == [("exited", 0, 0)]
    after = stack.status()
    assert {key: after[key] for key in ("study", "budget", "trials", "best")} == {
        key: before[key] for key in ("study", "budget", "trials", "best")
    }
