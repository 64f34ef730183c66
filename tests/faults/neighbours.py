"""What trials share with others: processes of their own that outlive them, and memory that somebody
else holds.
"""

import os
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

from audit import Row, audit
from scene import Scene, Worker, descendants, lives, read, scene

PREFETCHERS = 2
KILLS_OF_TRIALS, KILLS_OF_WORKERS = 2, 4  # below what makes the one trial poison
GONE_S = 10.0  # for what a killed process has started
ROOM = 2**17  # bytes of the largest block that the host gives while its memory is held
BACK_OFF = "others hold the memory"


def prefetchers_left() -> Row:
    """Kill -9 of a trial that prefetches, then of its workers: nothing that they had started lives
    on.
    """
    most_s, kills, left = 0.0, KILLS_OF_TRIALS + KILLS_OF_WORKERS, list[int]()
    with scene(1, 600) as at:
        for kill in range(kills):
            if not any(worker.alive for worker in at.workers):
                at.start("--prefetchers", str(PREFETCHERS))
            worker, trial = at.wait(lambda: prefetching(at), "a trial that prefetches")
            top = trial if kill < KILLS_OF_TRIALS else worker.pid
            family = [top, *descendants(top)]
            os.kill(top, signal.SIGKILL)
            killed = time.monotonic()
            while any(map(lives, family)) and time.monotonic() - killed < GONE_S:
                time.sleep(0.01)
            most_s = max(most_s, time.monotonic() - killed)
            left += filter(lives, family)
            if top == worker.pid:
                at.remember_saved(worker)
                worker.process.wait(30)
        at.start("--prefetchers", str(PREFETCHERS))
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        at.stop()
        row = audit(
            at, "kill -9 of trials that prefetch", kills, note=f"all gone in {most_s:.1f} s at most"
        )
        row.wrong += [f"{len(left)} processes have outlived their trial"] if left else []
        return row


def prefetching(at: Scene) -> tuple[Worker, int] | None:
    """A worker and the process of its trial, once that has all its prefetchers and trains."""
    for worker in at.workers:
        for pid in worker.children() if worker.alive else ():
            below = read(f"/proc/{pid}/task/{pid}/children").split()
            if len(below) == PREFETCHERS:
                return worker, pid
    return None


class Memory:
    """The memory of a host as processes with ``environment`` get it: others hold it, or they do
    not.
    """

    def __init__(self, root: Path) -> None:
        self.file, library = root / "memory", root / "memory.so"
        self.give(0)
        source = Path(__file__).with_name("memory.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_MEMORY": str(self.file)}

    def give(self, largest: int) -> None:
        """Give blocks of so many bytes at most; 0: of any size."""
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(descriptor, struct.pack("l", largest), 0)
        os.close(descriptor)


def memory_held() -> Row:
    """Another process holds the memory, when two trials start and in a later epoch of theirs: they
    wait, and are complete.
    """
    # so long that a state is saved, which takes a large block
    with scene(2, 120, "--set", "pruning={kind: none}") as at:
        memory = Memory(at.root)
        at.settings = memory.environment
        memory.give(ROOM)
        workers = [at.start(), at.start()]
        wrong = waiting(at, 2)
        memory.give(0)
        at.wait(lambda: at.epochs_done(0) >= 1 and at.epochs_done(1) >= 1, "epochs of both")
        memory.give(ROOM)
        wrong += waiting(at, 4)
        memory.give(0)
        at.finish()
        row = audit(
            at,
            "memory held by another process",
            2,
            note=next(line for _, line in at.heard if BACK_OFF in line)[:150],
        )
        row.wrong += wrong
        row.wrong += (
            [] if at.causes("true") == ["completed"] * 2 else [f"causes {at.causes('true')}"]
        )
        row.wrong += (
            ["a batch was divided for a neighbour"] if at.said("has too little memory for") else []
        )
        row.wrong += (
            ["a worker died of it"] if any(worker.process.returncode for worker in workers) else []
        )
        return row


def waiting(at: Scene, times: int) -> list[str]:
    """Wait until trials were given back so often for want of memory; what is wrong then: any
    verdict on one.
    """
    at.wait(
        lambda: sum(BACK_OFF in line for _, line in at.heard) >= times,
        "trials to be given back",
        120,
    )
    return (
        []
        if set(at.states()) == {"RUNNING"}
        else [f"states {at.states()} while others held the memory"]
    )


# what refuses memory is a few lines of C
ALL = [prefetchers_left, memory_held] if shutil.which("cc") else [prefetchers_left]
