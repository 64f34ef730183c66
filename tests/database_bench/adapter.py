"""What a scene asks of a source tree: the same work, by each tree's own functions."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from importlib import import_module
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, event

STUDY = "bench"
SPACE = "small"  # about 15 parameters, and the same file in both trees
EPOCHS = 50  # of a trial that has ended; the rungs are 5 and 15
TRAINED = 5  # epochs that a worker of a scene reports before it ends a trial
BUDGET = 1_000_000  # trials: never spent
CLASSES = ("background", "soil", "bedrock", "sand", "rock")
FRAMES = {
    "height": 64,
    "width": 128,
    "channels": 1,
    "max_value": 255,
    "mean": (0.5,),
    "std": (0.25,),
    "class_names": CLASSES,
    "colours": tuple((label, label, label) for label in range(len(CLASSES))),
    "ignore_label": 0,
    "scored": (1, 2, 3, 4),
}  # what the end of a trial needs of a data set that nobody reads


class Hold(Enum):
    """Since when a claim lock is held, as a client can know it."""

    FROM_ANSWER = "from the answer of the statement that takes it"
    # the statement waits for the lock, too, so the hold begins with it or when the one before ends
    WITHIN = "from the sending of the statement that takes it, or the end of the hold before"


class Side(Protocol):
    """One source tree. ``study``, ``worker``, ``lease`` and ``running`` are its own values."""

    hold: Hold

    def takes_lock(self, statement: str, parameters: object) -> bool:
        """Return whether a statement takes the lock of claims."""

    def create(self, url: str) -> None:
        """Write the study, as `search init` does once data and space are checked."""

    def draw(self, source: Any) -> None:
        """Draw a config of the study's space from a source of values."""

    def filled(self, url: str) -> None:
        """Set right what the program keeps beside rows that were written behind its back."""

    def open(self, url: str) -> Any:
        """Return the study."""

    def warm(self, study: Any) -> None:
        """Let a study know its history, as that of a worker that has been at work for long."""

    def detach(self, study: Any) -> None:
        """Close every connection of a study that a forked process is to use."""

    def join(self, study: Any) -> Any:
        """Return a worker, registered, that has a pulse to be entered."""

    def claim(self, worker: Any) -> Any:
        """Return a lease, as the worker's loop gets one."""

    def holding(self, worker: Any, lease: Any) -> AbstractContextManager[None]:
        """Hold a lease as the worker's loop does, and give it back."""

    def begin(self, worker: Any, lease: Any) -> Any:
        """Attach to the trial, draw its config, and do what comes before its training."""

    def epoch(self, running: Any, number: int) -> bool:
        """Report an epoch, and return whether the trial goes on."""

    def end(self, worker: Any, running: Any) -> None:
        """End the trial, with all that is stored with it."""

    def end_cheaply(self, worker: Any, lease: Any) -> None:
        """End a trial by its state alone."""

    def look(self, running: Any) -> None:
        """Do what the worker does after an epoch that is not saved."""

    def wait(self, worker: Any, seconds: float) -> None:
        """Run the worker's loop for so long."""

    def read_status(self, study: Any) -> object:
        """Return the study's status."""


@contextmanager
def unhurried(engine: Engine) -> Iterator[None]:
    """Let transactions of an engine be idle for as long as they like: what warms a study up is not
    measured, and a machine with other work may take minutes between two of its statements.
    """

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    event.listen(engine, "begin", begin)
    try:
        yield
    finally:
        event.remove(engine, "begin", begin)


def load_side(name: str) -> Side:
    """Return a tree's adapter; its modules must be the ones on the path."""
    side: Side = import_module(f"database_bench.{name}_side").ADAPTER
    return side


def score(number: int, epoch: int) -> float:
    """Return the score of a trial that a scene trains, different for each trial."""
    quality = 0.4 + (number * 7919 % 1000) / 2500
    return quality * (1 - 0.7**epoch)
