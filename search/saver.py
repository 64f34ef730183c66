"""Saving a training state as often as its cost allows: blobs first, so that nothing is told before it can be resumed."""

import time

from objectives.training_state import TrainingState
from search.blobs import BlobStore
from search.messages import Checkpoint

SHARE = 0.01  # of the time that saving may take; dearer saves come less often,
LONGEST_S = 30.0  # but at least so often


class Saver:
    """Puts a training state and its best weights into the store. ``best`` is the blob of the best weights so far."""

    def __init__(self, state: TrainingState, blobs: BlobStore, best: str) -> None:
        self.state = state
        self.blobs = blobs
        self.best = best
        self.unsaved_best = b""
        self.began_at = self.saved_at = time.monotonic()
        self.cost_s = 0.0

    def note_best(self) -> None:
        """Keep the weights of the epoch just done when it is the best so far."""
        if self.state.scored.number == self.state.epoch:
            self.unsaved_best = self.state.weights_bytes()

    def due(self) -> bool:
        """Whether enough time has passed since the last save."""
        return time.monotonic() - self.saved_at >= min(LONGEST_S, self.cost_s / SHARE)

    def save(self) -> Checkpoint:
        """Save the whole state, and the best weights when they are new."""
        self.began_at = time.monotonic()
        if self.unsaved_best:
            self.best, self.unsaved_best = self.blobs.put(self.unsaved_best), b""
        last = self.blobs.put(self.state.to_bytes())
        self.note_cost()
        return Checkpoint(last, self.best)

    def note_cost(self) -> None:
        """The last save has taken until now: called again after the worker's answer, which training waits for too."""
        self.saved_at = time.monotonic()
        self.cost_s = self.saved_at - self.began_at
