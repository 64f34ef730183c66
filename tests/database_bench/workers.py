"""The worker processes of a scene: each forked, with connections of its own, and a diary."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from database_bench.adapter import TRAINED, Side
from database_bench.watch import Diary, LockWatch

FORK = get_context("fork")
STARTED_S = 600.0  # for all workers of a scene to have opened the study and joined


class Board:
    """What the processes of a scene share: a start, an end, and when each has claimed its first
    trial (0: not yet).
    """

    def __init__(self, workers: int) -> None:
        self.barrier = FORK.Barrier(workers + 1)
        self.stop = FORK.RawValue("b", 0)
        self.go = FORK.RawValue("b", 0)  # for the newcomer
        self.claimed = FORK.RawArray("d", workers)


@dataclass(frozen=True)
class Post:
    """One worker process's place in a scene. ``study``: one that its parent has opened and detached,
    else it opens its own.
    """

    side: Side
    url: str
    number: int
    board: Board
    diary: Path
    study: Any = None

    def work(self, loop: Callable[["Post", Any, Diary], None]) -> None:
        """Join the study, wait for the others, and run a loop until the scene ends."""
        diary = Diary(self.diary)
        LockWatch(self.side, diary).install()
        worker = self.side.join(self.study or self.side.open(self.url))
        with worker.pulse:
            self.board.barrier.wait()
            loop(self, worker, diary)
        refuse_torch()

    def claim(self, worker: Any, diary: Diary) -> Any:
        """Claim a trial, and note how long that took."""
        asked = time.monotonic()
        diary.note("ask", asked)
        lease = self.side.claim(worker)
        got = time.monotonic()
        diary.note("got", got)
        self.board.claimed[self.number] = self.board.claimed[self.number] or got
        return lease


def pull(post: Post, worker: Any, diary: Diary) -> None:
    """Claim, draw, report a few epochs, end, one trial after the other."""
    side = post.side
    while not post.board.stop.value:
        lease = post.claim(worker, diary)
        with side.holding(worker, lease):
            running = side.begin(worker, lease)
            diary.note("drawn", time.monotonic())
            any(not side.epoch(running, number) for number in range(1, TRAINED + 1))
            side.end(worker, running)
        diary.note("ended", time.monotonic())


def claim_only(post: Post, worker: Any, diary: Diary) -> None:
    """Claim trials, and end each at once, by its state alone."""
    while not post.board.stop.value:
        lease = post.claim(worker, diary)
        with post.side.holding(worker, lease):
            post.side.end_cheaply(worker, lease)
        diary.note("ended", time.monotonic())


def come_late(post: Post, worker: Any, diary: Diary) -> None:
    """Wait for the word, claim a first trial and draw its config."""
    while not post.board.go.value:
        time.sleep(0.002)
    lease = post.claim(worker, diary)
    with post.side.holding(worker, lease):
        post.side.begin(worker, lease)
        diary.note("drawn", time.monotonic())
        post.side.end_cheaply(worker, lease)


def refuse_torch() -> None:
    """Fail where torch was imported: a worker's own process never does, and it would be measured."""
    assert "torch" not in sys.modules, "torch was imported"


def end_all(processes: list[Any], grace_s: float) -> int:
    """Wait a little for processes that were told to stop, kill the others, and return how many
    failed by themselves.
    """
    deadline = time.monotonic() + grace_s
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    late = [process for process in processes if process.exitcode is None]
    for process in late:
        process.kill()
    for process in late:
        process.join()
    return sum(process.exitcode != 0 for process in processes if process not in late)
