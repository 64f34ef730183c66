"""Saving a training state as often as its cost allows, while training goes on: blobs first, so that
nothing is reported before it can be resumed.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from objectives.training.results import EpochResult
from objectives.training.state import TrainingState
from search.artifacts import BlobStore
from search.process.messages import Checkpoint

SHARE = 0.005  # of the time that saving may take; dearer saves come less often,
LONGEST_S = 30.0  # but at least so often
# before the first one: what it costs is not known yet, and less training than that is no loss
FIRST_S = 5.0


@dataclass(frozen=True)
class Save:
    """A training state that is in the store, and what is to be told of it."""

    history: tuple[EpochResult, ...]
    left_out: tuple[float, ...]
    finished: bool
    checkpoint: Checkpoint


class Saver:
    """Puts a training state and its best weights into the store. ``best`` is the blob of those
    weights, empty at first.

    The state holds the best weights too: a run can go on from its state alone, and mend their blob.
    """

    def __init__(self, state: TrainingState, blobs: BlobStore, best: str) -> None:
        self.state = state
        self.blobs = blobs
        self.best = best
        self.saved_weights = state.scored_weights if best else b""
        self.saved_at = time.monotonic()
        self.cost_s = FIRST_S * SHARE
        self.writer = ThreadPoolExecutor(1, "saves")
        self.writing: Future[None] | None = None

    def due(self) -> bool:
        """Return whether enough time has passed since the last save."""
        return time.monotonic() - self.saved_at >= min(LONGEST_S, self.cost_s / SHARE)

    def begin(self, tell: Callable[[Save], object]) -> None:
        """Save the whole state as it is now, and the best weights when they are new, and tell of it,
        while the caller goes on to change it.
        """
        self.wait()
        written = self._taken()

        def write() -> None:
            tell(written())

        self.writing = self.writer.submit(write)

    def idle(self) -> bool:
        """Return whether what was begun is told."""
        return self.writing is None or self.writing.done()

    def wait(self) -> None:
        """Wait until what was begun is told; raise what it raised."""
        if self.writing:
            self.writing.result()
        self.writing = None

    def at(self, checkpoint: Checkpoint) -> Save:
        """Return what is to be told of the state as it is now, which is in the store."""
        state = self.state
        return Save(tuple(state.history), state.left_out(), state.finished, checkpoint)

    def _taken(self) -> Callable[[], Save]:
        """Return what writes the state as it is now, whatever becomes of it meanwhile."""
        began_at = self.saved_at = time.monotonic()
        told = self.at(Checkpoint("", ""))
        best, last = self.state.scored_weights, self.state.to_bytes()

        def write() -> Save:
            if best != self.saved_weights:
                self.best = self.blobs.put(best)
                self.saved_weights = best
            checkpoint = Checkpoint(self.blobs.put(last), self.best)
            self.saved_at = time.monotonic()
            self.cost_s = self.saved_at - began_at
            return replace(told, checkpoint=checkpoint)

        return write
