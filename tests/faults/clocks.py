"""Clocks that are set while a study runs: a worker's, and the database's. Only the named processes
see another time.
"""

import os
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

from audit import Row, audit
from laws import told_apart, trained_again
from ledger import Ledger
from scene import Scene, Worker, descendants, scene

HOUR_S = 3600
LEASE_S = 8.0  # of the scene's workers
ENDLESS = 3000  # epochs, which outlast a row on any machine: it ends them by an order
FENCE = "SELECT max(fence) FROM search_lease"


class Clock:
    """A time of day that processes with ``environment`` see; ``set_ahead`` changes it for all of
    them at once.
    """

    def __init__(self, root: Path) -> None:
        self.file, library = root / "clock", root / "clock.so"
        self.set_ahead(0)
        source = Path(__file__).with_name("clock.c")
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-fno-builtin", "-o", library, source], check=True
        )
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(self.file)}

    def set_ahead(self, seconds: int) -> None:
        """Set it so far ahead of the true time, or behind it."""
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(descriptor, struct.pack("l", seconds), 0)
        os.close(descriptor)


def clock_of_a_worker() -> Row:
    """A worker's clock an hour ahead, then behind, then still while it sleeps: its lease lives by
    the database's clock.
    """
    with scene(1, ENDLESS) as at:
        ledger, clock = Ledger(at), Clock(at.root)
        at.settings = clock.environment
        sleeper = ledger.start()
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        at.settings = {}
        other = ledger.start()
        wrong = []
        for ahead_s in (HOUR_S, -HOUR_S):
            clock.set_ahead(ahead_s)
            wrong += refused(at, clock, "ahead of" if ahead_s > 0 else "behind")
            one_more_epoch(at, 0)
            time.sleep(2 * LEASE_S)
            kept = at.owner(0) is sleeper and at.query(FENCE) == [(1,)]
            wrong += (
                []
                if kept
                else [f"the trial has changed hands when the clock was {ahead_s} s ahead"]
            )
        wrong += asleep(at, clock, sleeper, other)
        at.stop()
        row = audit(
            at, "clock of a worker set", 3, note=f"{trained_again(at)} epochs trained again"
        )
        row.wrong += wrong + ledger.trespasses() + told_apart(at)
        row.wrong += (
            ["a worker died of it"]
            if any(each.process.returncode for each in (sleeper, other))
            else []
        )
        return row


def one_more_epoch(at: Scene, number: int) -> None:
    """Wait until a trial has reported an epoch more."""
    before = at.epochs_done(number)
    at.wait(lambda: at.epochs_done(number) > before, "an epoch under another clock")


def refused(at: Scene, clock: Clock, way: str) -> list[str]:
    """A worker that comes with such a clock may not join, and says by how much it is wrong."""
    done = at.run("worker", "--device", "cpu", **clock.environment)
    said = f"1.0 h {way} the database's"
    return (
        []
        if done.returncode and said in done.stderr + done.stdout
        else [f"joined with a clock {way}: {done.stderr}"]
    )


def asleep(at: Scene, clock: Clock, sleeper: Worker, other: Worker) -> list[str]:
    """Freeze a worker until another has its trial, and wake it with a clock by which no second has
    passed.
    """
    family = [sleeper.pid, *descendants(sleeper.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    fell_asleep = time.monotonic()
    at.wait(lambda: at.owner(0) is other, "a take-over", 90)
    clock.set_ahead(-HOUR_S - round(time.monotonic() - fell_asleep))
    for pid in reversed(family):
        os.kill(pid, signal.SIGCONT)
    at.wait(lambda: not sleeper.children(), "the sleeper to let go", 60)
    return [] if at.query(FENCE) == [(2,)] else ["the sleeper has taken the trial back"]


def clock_of_the_database() -> Row:
    """The database's clock an hour ahead, then two hours back, under two workers and a third that
    waits.
    """
    with scene(2, ENDLESS, "--set", "pruning={kind: none}") as at:
        ledger, clock = Ledger(at), Clock(at.root)
        at.server.stop()
        at.server.user["env"] = os.environ | clock.environment
        at.server.start()
        workers = [ledger.start() for _ in range(3)]
        at.wait(lambda: at.epochs_done(0) >= 1 and at.epochs_done(1) >= 1, "epochs of both")
        for ahead_s in (HOUR_S, -HOUR_S):
            clock.set_ahead(ahead_s)
            seen_s = (
                float(at.query("SELECT extract(epoch FROM clock_timestamp())")[0][0]) - time.time()
            )
            assert abs(seen_s - ahead_s) < 60, f"the server's clock is {seen_s} s ahead"
            one_more_epoch(at, 1)
            time.sleep(2 * LEASE_S)
        (fences,) = at.query("SELECT sum(fence) FROM search_lease")[0]
        at.stop()
        row = audit(
            at, "clock of the database set", 2, note=f"trials changed hands {fences - 2} times"
        )
        row.wrong += ledger.trespasses() + told_apart(at)
        row.wrong += (
            ["a worker died of it"] if any(each.process.returncode for each in workers) else []
        )
        return row


# a clock is a few lines of C
ALL = [clock_of_a_worker, clock_of_the_database] if shutil.which("cc") else []
