"""Databases, networks and stores that go away, fill up, or lie."""

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
from audit import Row, audit
from postgres import USER, Server, Wire
from psycopg2.extensions import connection
from scene import Scene, scene

OUTAGE_S = 60.0


def database_stopped() -> Row:
    """Postgres stopped for 60 s in the middle of training, then started."""
    return _database_away("Postgres stopped for 60 s", lambda server: server.stop(), OUTAGE_S)


def database_killed() -> Row:
    """Postgres killed with -9, and started after 10 s: it recovers from its log."""
    return _database_away("Postgres killed -9", lambda server: server.kill(), 10.0)


def _database_away(fault: str, end: Callable[[Server], None], outage_s: float) -> Row:
    with scene(4, 120) as at:
        workers = [at.start(), at.start()]
        at.wait(lambda: at.epochs_done(0) >= 2, "epochs")
        before = trained(at)
        end(at.server)
        time.sleep(outage_s)
        during = trained(at) - before
        alive = all(worker.alive for worker in workers)
        at.server.start()
        at.finish()
        row = audit(at, fault, 1, note=f"{during} epochs trained meanwhile")
        row.wrong += (
            []
            if alive and not any(worker.process.returncode for worker in workers)
            else ["a worker died of it"]
        )
        row.wrong += [] if during or outage_s < OUTAGE_S else ["training stood still"]
        return row


def trained(at: Scene) -> int:
    """Epochs that all trials have trained so far, reported or not."""
    return sum(" epoch " in line for _, line in at.heard)


def connections_terminated() -> Row:
    """Every connection ended with pg_terminate_backend, ten times, two seconds apart."""
    with scene(3, 240, "--set", "pruning={kind: none}") as at:
        workers = [at.start(), at.start()]
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        ended = 0
        for _ in range(10):
            ended += len(
                at.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name "
                    "= 'search'"
                )
            )
            time.sleep(2.0)
        in_time = at.runs()
        at.wait(lambda: at.owner(2), "the trial after these")
        at.stop()
        row = audit(at, "pg_terminate_backend", 10, note=f"{ended} connections ended")
        row.wrong += [] if in_time else ["the study was over before the last of them"]
        row.wrong += (
            ["a worker died of it"] if any(worker.process.returncode for worker in workers) else []
        )
        return row


def network_frozen() -> Row:
    """The network passes nothing for 60 s; nobody else wants the trial: it stays with its
    worker.
    """
    with scene(2, 120) as at:
        wire = Wire(at.server.port)
        worker = at.start(url=at.server.url_at(wire.port))
        at.wait(lambda: at.epochs_done(0) >= 2, "epochs")
        before = trained(at)
        wire.freeze()
        time.sleep(OUTAGE_S)
        during = trained(at) - before
        wire.thaw()
        wire.reset()
        at.finish()
        wire.close()
        row = audit(at, "network silent for 60 s", 1, note=f"{during} epochs trained meanwhile")
        row.wrong += [] if during else ["training stood still"]
        row.wrong += ["the worker died of it"] if worker.process.returncode else []
        row.wrong += (
            []
            if at.query("SELECT max(fence) FROM search_lease") == [(1,)]
            else ["a trial changed hands"]
        )
        return row


def lease_lost() -> Row:
    """The network of one worker is silent until another has its trial: then it stops, writes
    nothing, takes other work.
    """
    with scene(1, 240) as at:
        wire = Wire(at.server.port)
        cut = at.start(url=at.server.url_at(wire.port))
        at.wait(lambda: at.epochs_done(0) >= 2, "epochs")
        direct = at.start()
        at.wait(lambda: at.at_work(direct), "another worker")
        wire.freeze()
        silent = time.monotonic()
        at.wait(lambda: at.owner(0) is direct, "a take-over", 90)
        wire.thaw()
        wire.reset()
        at.wait(lambda: "was lost" in cut.words() or not cut.alive, "the loss to be noticed", 90)
        alone_s = time.monotonic() - silent
        at.finish()
        wire.close()
        row = audit(at, "lease lost in a silent network", 1, alone_s=alone_s)
        row.wrong += ["the worker died of it"] if cut.process.returncode else []
        return row


def too_many_connections() -> Row:
    """Every connection is taken, at a worker's start and while another trains, for 20 s each."""
    with scene(3, 60, settings=("max_connections=20", "superuser_reserved_connections=0")) as at:
        first = at.start()
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        waited = []
        for _ in range(2):
            at.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                "'search'"
            )
            hoard = hoard_connections(at.server)
            late = at.start()
            time.sleep(20.0)
            waited.append("trying again" in late.words())
            for each in hoard:
                each.close()
        at.finish()
        row = audit(at, "max_connections reached", 2)
        row.wrong += [] if all(waited) else ["a worker that started meanwhile did not wait"]
        row.wrong += (
            ["a worker died of it"]
            if any(w.process.returncode for w in at.workers) or first.process.returncode
            else []
        )
        return row


def hoard_connections(server: Server) -> list[connection]:
    """Open connections until there is none left, and for some time those that become free."""
    hoard = []
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        try:
            hoard.append(psycopg2.connect(server.url, application_name="hoard"))
        except psycopg2.OperationalError:
            time.sleep(0.05)
    return hoard


def database_full() -> Row:
    """The disk of Postgres is full for 30 s (its data on a small tmpfs)."""
    with full_disk(USER) as folder, scene(4, 60) as at:
        at.server.query(f"CREATE TABLESPACE small LOCATION '{folder}'", database="postgres")
        at.server.query("ALTER DATABASE search SET TABLESPACE small", database="postgres")
        # a new page every dozen epochs
        at.server.query("ALTER TABLE trial_intermediate_values SET (fillfactor = 10)")
        worker = at.start()
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        ballast = folder / "ballast"
        fill(ballast)
        at.wait(
            lambda: at.said("does not answer (") or not fill(ballast), "the disk to be missed", 60
        )
        time.sleep(30.0)
        ballast.unlink()
        at.finish()
        row = audit(at, "disk of Postgres full for 30 s", 1)
        row.wrong += ["the worker died of it"] if worker.process.returncode else []
        return row


class full_disk:  # noqa: N801 - a context manager that reads as what it is
    """A file system of 64 MiB of its own; needs root."""

    def __init__(self, owner: str = "root") -> None:
        found = pwd.getpwnam(owner)
        self.options = f"size=64M,mode=700,uid={found.pw_uid},gid={found.pw_gid}"

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="search-small-"))
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", self.options, "tmpfs", self.folder], check=True
        )
        return self.folder

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True)
        self.folder.rmdir()


def fill(ballast: Path) -> bool:
    """Write until the disk is full; always True."""
    with ballast.open("ab", buffering=0) as out:
        try:
            while True:
                out.write(b"\0" * 65536)
        except OSError:
            return True


def store_away() -> Row:
    """The folder of the artifact store is gone for 60 s: a file lies in its place."""
    with scene(3, 60) as at:
        worker = at.start()
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        aside = at.root / "aside"
        at.artifacts.rename(aside)
        at.artifacts.write_text("not a folder")
        at.wait(lambda: at.said("waits for the artifact store"), "a word of it", 60)
        time.sleep(OUTAGE_S)
        at.artifacts.unlink()
        aside.rename(at.artifacts)
        at.finish()
        row = audit(at, "artifact store away for 60 s", 1)
        row.wrong += ["the worker died of it"] if worker.process.returncode else []
        row.wrong += ["a trial's process died of it"] if at.said("it will be tried again") else []
        return row


def store_full() -> Row:
    """The disk of the artifact store is full for 30 s."""
    with full_disk() as folder, scene(3, 60) as at:
        shutil.copytree(at.artifacts, folder, dirs_exist_ok=True)
        shutil.rmtree(at.artifacts)
        at.artifacts.symlink_to(folder)
        worker = at.start()
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        ballast = folder / "ballast"
        fill(ballast)
        at.wait(lambda: at.said("No space left") or not fill(ballast), "a word of it", 60)
        time.sleep(30.0)
        ballast.unlink()
        at.finish()
        row = audit(at, "artifact store full for 30 s", 1)
        row.wrong += ["the worker died of it"] if worker.process.returncode else []
        return row


def damaged_checkpoints() -> Row:
    """The newest state cut short, then one with a bit turned: the one before is used. Best weights
    damaged: mended.
    """
    with scene(1, 90) as at:
        damaged = set[str]()
        for turn, kind in enumerate(("last", "last", "best")):
            worker = at.start()
            at.wait(lambda: len(states := states_of(at)) == 2 and not states & damaged, "two saves")
            worker.kill()
            ((blob,),) = at.query(f"SELECT blob FROM search_checkpoint WHERE kind = '{kind}'")
            damaged.add(str(blob))
            file = at.artifacts / "blobs" / str(blob)[:2] / str(blob)[2:]
            content = bytearray(file.read_bytes())
            if turn:
                content[len(content) // 2] ^= 1
            else:
                del content[-1000:]
            file.write_bytes(content)
        at.finish()
        row = audit(at, "checkpoint cut short, bit turned", 3)
        seen = sum("has a damaged checkpoint" in line for _, line in at.heard)
        row.wrong += [] if seen == 2 else [f"{seen} of 2 states were seen"]
        row.wrong += (
            []
            if at.said("has its best weights damaged")
            else ["the best weights' damage was not seen"]
        )
        return row


def states_of(at: Scene) -> set[str]:
    """The blobs of the states that a study's trials would go on from: the newest, and the one
    before.
    """
    return {
        str(blob)
        for (blob,) in at.query("SELECT blob FROM search_checkpoint WHERE kind LIKE 'last%'")
    }


def first_start() -> Row:
    """16 workers and a dashboard start on an empty database, then the study is written: all end
    well.
    """
    with scene(20, 1, write=False) as at:
        for _ in range(16):
            at.start("--wait", "5m")
        command, environment = at.command("dashboard", "--port", "0")
        dashboard = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        time.sleep(5.0)
        inits = [
            threading.Thread(target=at.init, args=("--set", "train.steps_per_epoch=1"))
            for _ in range(2)
        ]
        for thread in inits:
            thread.start()
        for thread in inits:
            thread.join()
        at.finish()
        up = dashboard.poll() is None
        dashboard.terminate()
        dashboard.wait(30)
        row = audit(at, "16 workers and a dashboard before the study", 16)
        row.wrong += [] if up else ["the dashboard died"]
        row.wrong += (
            ["a worker failed"] if any(worker.process.returncode for worker in at.workers) else []
        )
        row.wrong += [] if at.said("trying again") else ["no worker said that it waits"]
        return row


ALL = [
    database_stopped, database_killed, connections_terminated, network_frozen, lease_lost, too_many_connections,
    store_away, damaged_checkpoints, first_start,
]  # fmt: skip
if os.geteuid() == 0:  # these need a file system of their own
    ALL += [store_full, database_full]
