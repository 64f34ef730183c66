"""A trial's own process, as the worker sees it: an out-of-memory, a CUDA fault or a segfault ends
it, not the worker.
"""

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Protocol, Self

from objectives.errors import WorldError
from search.process.messages import Job, Message, Reply, SaveNow, Word

POLL_S = 0.1
LAST_WORDS_S = 1.0  # what a process has said before its end is heard by then
# how long a killed process may take to be gone: one in the hands of a stuck driver never is
END_S = 10.0


class Count(Protocol):
    """A number in memory that the worker and the trial's process share; only the process changes
    it.
    """

    value: int


class ChildDiedError(WorldError):
    """The trial's process ended without a result: killed, out of memory, a fault in a library."""


class ChildHungError(WorldError):
    """The trial's process got nowhere for too long."""


class SurroundingsError(WorldError):
    """The trial could not be trained here and now, for reasons that are not its own."""


class InterruptedTrialError(WorldError):
    """The worker stops running this trial, and leaves it to whoever comes next."""


def preload() -> None:
    """Start the server that forks trials, with torch already imported: a trial then starts in
    milliseconds.
    """
    multiprocessing.set_forkserver_preload(["search.process.preloaded"])
    forkserver.ensure_running()


class Stillness:
    """For how long a count has stood still, in time that the watcher was awake: a frozen container
    blames nobody.
    """

    def __init__(self, count: Count) -> None:
        self.count = count
        self.seen = count.value
        self.seen_at = time.monotonic()
        self.seconds = 0.0

    def look(self) -> float:
        """Seconds without a change, as far as the looks were close to each other."""
        now = time.monotonic()
        self.seconds += min(now - self.seen_at, 10 * POLL_S)
        self.seen_at = now
        if self.count.value != self.seen:
            self.seen = self.count.value
            self.seconds = 0.0
        return self.seconds


class TrialProcess:
    """Runs one job; leaving the ``with`` block kills the process if it still lives.

    A thread hears the process at all times: it never waits for a worker whose database is away, and
    one that dies or stands still in the middle of a message holds nobody up.

    Raises:
        SurroundingsError: No process can be started.
    """

    def __init__(self, job: Job, *, hang_s: float) -> None:
        self.hang_s = hang_s
        context = multiprocessing.get_context("forkserver")
        self.pipe, theirs = context.Pipe()
        self.beats: Count = context.RawValue("Q", 0)
        self.process = context.Process(target=_enter, args=(theirs, job, self.beats), name="trial")
        try:
            self.process.start()
        except (OSError, EOFError) as error:
            raise SurroundingsError(
                f"no process can be started: {error or type(error).__name__}"
            ) from error
        finally:
            theirs.close()
        self.heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.ear = threading.Thread(target=self._hear, name="hears the trial", daemon=True)
        self.ear.start()

    def _hear(self) -> None:
        """Hear the process to its end, which may be in the middle of a message."""
        # what cannot be read is a process's last word: what follows it is lost, too
        with self.pipe, suppress(Exception):
            while True:
                self.heard.put(self.pipe.recv())

    def messages(self, interrupted: Callable[[], bool]) -> Iterator[Message]:
        """Yield what the trial tells, until its last message.

        Raises:
            InterruptedTrialError: ``interrupted()`` says so, and no message waits.
            LeaseLostError: ``interrupted()`` raises it.
            ChildDiedError: The process ended early.
            ChildHungError: It has got nowhere for ``hang_s`` seconds.
        """
        stillness = Stillness(self.beats)
        while True:
            over = self._over()
            try:
                yield self.heard.get(timeout=POLL_S)
                continue
            except queue.Empty:
                pass
            if interrupted():
                raise InterruptedTrialError("the worker was asked to leave this trial")
            if over:  # and it has said nothing since
                self.process.join(END_S)
                if self.process.exitcode is None:
                    raise ChildDiedError("the trial's process has said what cannot be read")
                raise ChildDiedError(f"the trial's process ended with code {self.process.exitcode}")
            if stillness.look() > self.hang_s:
                raise ChildHungError(f"the trial's process got nowhere for {self.hang_s:g} s")

    def _over(self) -> bool:
        """Return whether the process has ended and was heard to its end; what it has forked may
        hold the pipe open for longer.
        """
        if self.process.is_alive():
            return not self.ear.is_alive()
        self.ear.join(LAST_WORDS_S)
        return True

    def reply(self, to: int, *, stop: bool) -> None:
        """Answer a ``Saved``: go on, or finish now. To a process that has died it says nothing;
        ``messages`` will.
        """
        self._say(Reply(to, stop))

    def save_now(self) -> None:
        """Ask for a ``Saved`` after the epoch at hand."""
        self._say(SaveNow())

    def _say(self, word: Word) -> None:
        with suppress(OSError):
            self.pipe.send(word)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.join(END_S)


def _enter(pipe: Connection, job: Job, beats: Count) -> None:
    # torch: preloaded in the forkserver, never imported in the worker
    from search.process.child import main

    main(pipe, job, beats)
