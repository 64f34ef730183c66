"""The same faults done to containers: ``docker compose`` for real, on a machine with docker and the
built image.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from audit import Row, audit
from postgres import free_port
from scene import Scene

ROOT = Path(__file__).resolve().parents[2]
FILES = ("docker-compose.yml", "docker-compose.cpu.yml")
PREFIX = re.compile(r"^\S+\s+\| ")  # of a line of `docker compose logs`

OVERRIDE = """
services:
  db:
    ports: ["127.0.0.1:{port}:5432"]
  worker:
    command: [worker, --verbose, --lease, 8s, --threads, "1"]
volumes:
  artifacts: {{driver: local, driver_opts: {{type: none, o: bind, device: {artifacts}}}}}
"""


HELD = """
    SELECT trial_id, owner FROM search_worker JOIN search_lease ON owner = search_worker.id JOIN trials USING (trial_id)
    WHERE trials.state = 'RUNNING' AND name LIKE '{name}:%'
"""


@dataclass
class Stack(Scene):
    """A compose project; its database is asked over a published port, its store is a folder of this
    machine.
    """

    port: int = 0
    settings_of: dict[str, str] | None = None

    def compose(self, *words: str) -> str:
        """Standard output of one docker compose command."""
        files = [
            part
            for name in (*FILES, "docker-compose.faults.yml")
            for part in ("-f", str(self.root / name))
        ]
        environment = os.environ | (self.settings_of or {})
        done = subprocess.run(
            ["docker", "compose", *files, *words],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, (
            f"docker compose {' '.join(words)}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )
        return done.stdout

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        where = f"postgresql://search:search@127.0.0.1:{self.port}/search"
        with closing(psycopg2.connect(where, connect_timeout=10)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []

    def up(self, workers: int = 3) -> None:
        """Start what does not run."""
        self.compose("up", "--detach", "--no-build", "--scale", f"worker={workers}")

    def ids(self, *more: str) -> list[str]:
        """The containers of the workers."""
        return self.compose("ps", "--quiet", *more, "worker").split()

    def inspect(self, container: str) -> dict[str, Any]:
        """What docker knows of a container."""
        return dict(json.loads(subprocess.check_output(["docker", "inspect", container]))[0])

    def holder(self) -> str:
        """The container of a worker that holds a running trial."""
        held = (
            "search_worker JOIN search_lease ON owner = search_worker.id JOIN trials USING "
            "(trial_id)"
        )
        live = "trials.state = 'RUNNING' AND expires_at > clock_timestamp()"

        def find() -> str | None:
            names = [
                str(name).rpartition(":")[0]
                for (name,) in self.query(f"SELECT name FROM {held} WHERE {live}")
            ]
            return next(
                (each for each in self.ids() for name in names if each.startswith(name)), None
            )

        found: str = self.wait(find, "a worker with a trial", 120)
        return found

    def name_of(self, container: str) -> str:
        """By which the worker in a container is known in the roster, up to its process's number."""
        return str(self.inspect(container)["Config"]["Hostname"])

    def finish(self, workers: int = 3, timeout_s: float = 900.0) -> None:
        """Let workers end the study."""
        self.up(workers)
        deadline = time.monotonic() + timeout_s
        while self.states().keys() & {"RUNNING", "WAITING"} or self.ids("--status", "running"):
            assert time.monotonic() < deadline, self.last_words()
            time.sleep(1.0)

    def follow(self) -> None:
        """Hear what the workers say, from now on until the project is taken down."""
        files = [
            part
            for name in (*FILES, "docker-compose.faults.yml")
            for part in ("-f", str(self.root / name))
        ]
        command = ["docker", "compose", *files, "logs", "--follow", "--no-color", "worker"]

        def listen() -> None:
            seen = 0  # `logs --follow` ends when all containers have stopped, and begins anew after
            while self.root.exists():
                lines = subprocess.Popen(
                    command,
                    cwd=self.root,
                    env=os.environ | (self.settings_of or {}),
                    stdout=subprocess.PIPE,
                    text=True,
                )
                assert lines.stdout is not None
                for place, line in enumerate(lines.stdout):
                    if place >= seen:
                        self.heard.append((time.monotonic(), PREFIX.sub("", line.rstrip())))
                        seen += 1
                time.sleep(0.5)

        threading.Thread(target=listen, daemon=True).start()


@contextmanager
def stack(budget: int, epochs: int, *, pruning: bool = True) -> Iterator[Stack]:
    """A project with three workers, taken down with its volumes at the end; without pruning no
    trial is short.
    """
    root = Path(tempfile.mkdtemp(prefix="search-faults-"))
    root.chmod(0o755)
    (root / "artifacts").mkdir()
    (root / "artifacts").chmod(0o777)
    for name in FILES:
        shutil.copy(ROOT / name, root)
    port = free_port()
    (root / "docker-compose.faults.yml").write_text(
        OVERRIDE.format(port=port, artifacts=root / "artifacts")
    )
    settings = {
        "COMPOSE_PROJECT_NAME": f"search-faults-{os.getpid()}-{port}",
        "DASHBOARD_PORT": str(free_port()),
        "SEARCH_STUDY": "faults",
        "SEARCH_DATA": "synthetic:40",
        "SEARCH_SPACE": "tiny",
        "SEARCH_TRIALS": str(budget),
        "SEARCH_INIT_OPTIONS": f"--set train.epochs={epochs}"
        + ("" if pruning else " --set 'pruning={kind: none}'"),
    }
    # its server is a container: query() asks that
    made = Stack(None, root, budget, epochs, port=port, settings_of=settings)
    try:
        made.up()
        made.follow()
        made.wait(lambda: made.said(" epoch 2 of"), "training", 180)
        yield made
    finally:
        made.compose(
            "--profile", "tools", "down", "--volumes", "--timeout", "5", "--remove-orphans"
        )
        shutil.rmtree(root, ignore_errors=True)


def killed_containers() -> Row:
    """docker kill -s KILL of a worker that trains, six times; each is started again."""
    with stack(12, 60, pruning=False) as at:  # outlasts the six
        for _ in range(6):
            subprocess.run(
                ["docker", "kill", "-s", "KILL", at.holder()], check=True, stdout=subprocess.DEVNULL
            )
            at.up()
            time.sleep(4.0)
        at.finish()
        return audit(at, "docker kill of a worker", 6)


def stopped_containers() -> Row:
    """docker stop of a worker that trains, three times: gone within ten seconds with code 0."""
    with stack(8, 60, pruning=False) as at:  # outlasts the three
        took_s, codes = [], []
        for _ in range(3):
            victim = at.holder()
            asked = time.monotonic()
            subprocess.run(
                ["docker", "stop", "-t", "30", victim], check=True, stdout=subprocess.DEVNULL
            )
            took_s.append(time.monotonic() - asked)
            codes.append(at.inspect(victim)["State"]["ExitCode"])
            at.up()
            time.sleep(4.0)
        at.finish()
        row = audit(at, "docker stop of a worker", 3, note=f"gone in {max(took_s):.1f} s at most")
        row.wrong += (
            [] if set(codes) == {0} and max(took_s) < 12.0 else [f"codes {codes}, {took_s} s"]
        )
        return row


def paused_container() -> Row:
    """docker pause of a worker beyond its lease: another takes its trial over, the sleeper wakes
    and writes nothing.
    """
    with stack(4, 80) as at:
        victim = at.holder()
        subprocess.run(["docker", "pause", victim], check=True, stdout=subprocess.DEVNULL)
        ((trial_id, name),) = at.query(HELD.format(name=at.name_of(victim)))
        lease = f"SELECT owner, fence FROM search_lease WHERE trial_id = {trial_id}"
        at.wait(lambda: at.query(lease)[0][0] not in ("", name), "its trial to be taken over", 120)
        taken = at.query(lease)
        subprocess.run(["docker", "unpause", victim], check=True, stdout=subprocess.DEVNULL)
        at.finish()
        row = audit(at, "docker pause beyond the lease", 1)
        row.wrong += (
            [] if at.query(lease)[0][1] == taken[0][1] else ["the sleeper took the trial back"]
        )
        return row


def disconnected_container() -> Row:
    """docker network disconnect of a worker for 40 s: its trial goes on elsewhere, or with it;
    nobody dies.
    """
    with stack(4, 80) as at:
        victim = at.holder()
        network = next(iter(at.inspect(victim)["NetworkSettings"]["Networks"]))
        subprocess.run(["docker", "network", "disconnect", network, victim], check=True)
        time.sleep(40.0)
        alive = at.inspect(victim)["State"]["Running"]
        subprocess.run(["docker", "network", "connect", network, victim], check=True)
        at.finish()
        row = audit(at, "docker network disconnect for 40 s", 1, alone_s=40.0)
        row.wrong += [] if alive else ["the worker died of it"]
        return row


def killed_database() -> Row:
    """docker kill -s KILL of Postgres, started again after 60 s."""
    return _database_away("docker kill of Postgres, 60 s", "kill", "-s", "KILL")


def stopped_database() -> Row:
    """docker stop of Postgres, started again after 60 s."""
    return _database_away("docker stop of Postgres, 60 s", "stop")


def _database_away(fault: str, *how: str) -> Row:
    with stack(5, 120) as at:
        database = at.compose("ps", "--quiet", "db").strip()
        subprocess.run(["docker", *how, database], check=True, stdout=subprocess.DEVNULL)
        time.sleep(60.0)
        alive = len(at.ids("--status", "running"))
        subprocess.run(["docker", "start", database], check=True, stdout=subprocess.DEVNULL)
        at.wait(lambda: _answers(at), "the database", 120)
        at.finish()
        row = audit(at, fault, 1)
        row.wrong += [] if alive == 3 else [f"{alive} of 3 workers lived"]
        return row


def _answers(at: Stack) -> bool:
    try:
        return bool(at.query("SELECT 1"))
    except psycopg2.OperationalError:
        return False


def connections_cut() -> Row:
    """Every connection of the workers ended with pg_terminate_backend, five times, two seconds
    apart.
    """
    with stack(5, 80) as at:
        ended = 0
        for _ in range(5):
            ended += len(
                at.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name "
                    "= 'search'"
                )
            )
            time.sleep(2.0)
        in_time, alive = at.runs(), len(at.ids("--status", "running"))
        at.finish()
        row = audit(
            at, "pg_terminate_backend, workers in containers", 5, note=f"{ended} connections ended"
        )
        row.wrong += [] if alive == 3 else [f"{alive} of 3 workers lived"]
        row.wrong += [] if in_time else ["the study was over before the last of them"]
        return row


ALL = [
    killed_containers, stopped_containers, paused_container, disconnected_container, killed_database, stopped_database,
    connections_cut,
]  # fmt: skip
