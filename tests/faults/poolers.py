"""A pooler before the database, with fewer connections than there are workers."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2
from audit import Row, audit
from gates import HELD, gate, ports_of
from laws import told_apart
from postgres import USER, free_port
from scene import Scene, Worker, descendants, scene

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONNECTIONS, WORKERS = 3, 4
FREED_S = 75.0  # the server ends a transaction that idles for 60 s
AWAY_S = 5.0
SETTINGS = """[databases]
search = host=127.0.0.1 port={server} dbname=search user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
unix_socket_dir =
"""


class Pooler:
    """PgBouncer before a scene's server, in transaction mode."""

    def __init__(self, at: Scene) -> None:
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/search"
        self.settings = at.root / "pgbouncer.ini"
        self.log = at.root / "pgbouncer.log"
        self.settings.write_text(
            SETTINGS.format(server=at.server.port, port=self.port, connections=CONNECTIONS)
        )
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        user = ["-u", USER] if os.geteuid() == 0 else []  # it does not run as root
        with self.log.open("ab") as log:
            command = [str(PGBOUNCER), *user, str(self.settings)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20.0
        while not self._answers():
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill it; it closes nothing in order."""
        self.process.kill()
        self.process.wait(30)

    def clients(self) -> dict[int, int]:
        """The ports of those clients that have a connection to the server now, by its port."""
        clients = {each["ptr"]: int(each["port"]) for each in self._show("CLIENTS")}
        return {
            int(each["local_port"]): clients[each["link"]]
            for each in self._show("SERVERS")
            if each["link"] in clients
        }

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url, connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _show(self, what: str) -> list[dict[str, str]]:
        url = self.url.replace("/search", "/pgbouncer")
        with closing(psycopg2.connect(url)) as console:
            console.autocommit = True
            with console.cursor() as cursor:
                cursor.execute(f"SHOW {what}")
                names = [column.name for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def pooler(at: Scene) -> Iterator[Pooler]:
    """A pooler that every command and worker of a scene goes through."""
    made = Pooler(at)
    at.settings["SEARCH_STORAGE"] = made.url
    try:
        yield made
    finally:
        made.kill()


def behind_a_pooler() -> Row:
    """Four workers share a pooler's three connections: one is frozen in a transaction that
    holds a lock, one is killed with -9, and so is the pooler, twice, which starts again.
    """
    with scene(8, 300, write=False) as at, pooler(at) as between:
        at.init("--set", "pruning={kind: none}")
        for _ in range(WORKERS):
            at.start()
        at.wait(lambda: at.epochs_done(WORKERS - 1) >= 1, "epochs")
        sleeper, family = freeze_with_lock(at, between)
        fell_asleep = time.monotonic()
        at.wait(lambda: not idlers(at), "the server to end the transaction", FREED_S + 15)
        freed_s = time.monotonic() - fell_asleep
        one_more_save(at)
        for pid in reversed(family):
            os.kill(pid, signal.SIGCONT)
        victim = at.wait(lambda: next(iter(others(at, sleeper)), None), "a worker to kill")
        victim.kill()
        at.remember_saved(victim)
        at.start()
        for _ in range(2):
            one_more_save(at)
            between.kill()
            time.sleep(AWAY_S)
            between.start()
        in_time = at.runs()
        at.finish()
        row = audit(
            at,
            "PgBouncer with three connections for four workers",
            4,
            note=f"a lock of the frozen freed after {freed_s:.0f} s",
            alone_s=freed_s,
        )
        row.wrong += told_apart(at)
        row.wrong += [] if freed_s <= FREED_S else [f"the others waited for {freed_s:.0f} s"]
        row.wrong += [] if in_time else ["the study was over before the pooler was killed twice"]
        codes = [each.process.returncode for each in at.workers if each is not victim]
        row.wrong += [f"the workers ended with {codes}"] if any(codes) else []
        return row


IDLERS = """
    SELECT DISTINCT client_port FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE state = 'idle in transaction' AND locktype = 'advisory' AND granted
      AND state_change < clock_timestamp() - interval '1 second'
"""


def idlers(at: Scene) -> list[tuple[object, ...]]:
    """The server's connections that hold a lock of ours and do nothing for more than a moment."""
    return at.query(IDLERS)


def freeze_with_lock(at: Scene, between: Pooler) -> tuple[Worker, list[int]]:
    """Freeze a worker and its trial while it moves a checkpoint's pointer, whose blob no other
    may delete meanwhile.
    """
    with gate(at, "search_checkpoint"):
        caught = at.wait(lambda: held_behind(at, between), "a worker that saves", 90)
        family = [caught.pid, *descendants(caught.pid)]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
    at.wait(lambda: idlers(at), "the lock in its transaction", 20)
    return caught, family


def held_behind(at: Scene, between: Pooler) -> Worker | None:
    """A worker that waits at the gate of checkpoints, as the pooler knows whose connection it is."""
    asked = HELD.format(table="search_checkpoint", words="insert into search_checkpoint%")
    waiting = {port for (port,) in at.query(asked)}
    ports = {client for server, client in between.clients().items() if server in waiting}
    return next((each for each in at.workers if each.alive and ports & ports_of(each.pid)), None)


def others(at: Scene, sleeper: Worker) -> list[Worker]:
    """The workers at a trial that has saved an epoch, but one."""
    saved = "SELECT 1 FROM search_checkpoint AS each WHERE each.trial_id = trials.trial_id"
    return [each for each in at.holders(f"EXISTS ({saved})") if each is not sleeper]


def one_more_save(at: Scene) -> None:
    """Wait until somebody has saved once more."""
    asked = "SELECT coalesce(sum(epoch), 0), count(*) FROM search_checkpoint"
    before = at.query(asked)
    at.wait(lambda: at.query(asked) != before, "a save", 120)


# a pooler is Debian's package
ALL: list[Callable[[], Row]] = [behind_a_pooler] if PGBOUNCER else []
