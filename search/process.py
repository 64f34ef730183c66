"""A trial's own process, as the worker sees it: an out-of-memory, a CUDA fault or a segfault ends it, not the worker."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from objectives.errors import WorldError
from search.messages import Checked, Failed, Finished, Job, Reply, Saved

POLL_S = 0.1


class ChildDiedError(WorldError):
    """The trial's process ended without a result: killed, a fault in a library, or its surroundings failed."""


class InterruptedTrialError(WorldError):
    """The worker stops running this trial, and leaves it to whoever comes next."""


def preload() -> None:
    """Start the server that forks trials, with torch already imported: a trial then starts in milliseconds."""
    multiprocessing.set_forkserver_preload(["search.preloaded"])
    forkserver.ensure_running()


class TrialProcess:
    """Runs one job; leaving the ``with`` block kills the process if it still lives."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("forkserver")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_enter, args=(theirs, job), name="trial")
        self.process.start()
        theirs.close()

    def messages(self, interrupted: Callable[[], bool]) -> Iterator[Checked | Saved | Finished | Failed]:
        """What the trial tells, until its last message.

        Raises: InterruptedTrialError as soon as ``interrupted()`` says so; ChildDiedError when the process ended early.
        """
        while True:
            while not self.pipe.poll(POLL_S):
                if interrupted():
                    raise InterruptedTrialError("the worker was told to leave this trial")
            try:
                yield self.pipe.recv()
            except (EOFError, ConnectionResetError) as error:
                self.process.join()
                raise ChildDiedError(f"the trial's process ended with code {self.process.exitcode}") from error

    def reply(self, to: int, *, stop: bool) -> None:
        """Answer a ``Saved``: go on, or finish now. To a process that has died it says nothing; ``messages`` will."""
        with suppress(OSError):
            self.pipe.send(Reply(to, stop))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _enter(pipe: Connection, job: Job) -> None:
    from search.child import main  # torch: preloaded in the forkserver, never imported in the worker

    main(pipe, job)
