"""Saving a training state as often as its cost allows: blobs first, so that nothing is reported before
it can be resumed.
"""

import time

from objectives.training.state import TrainingState
from search.artifacts import BlobStore
from search.process.messages import Checkpoint

SHARE = 0.005  # of the time that saving may take; dearer saves come less often,
LONGEST_S = 30.0  # but at least so often
# before the first one: what it costs is not known yet, and less training than that is no loss
FIRST_S = 5.0


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
        self.began_at = self.saved_at = time.monotonic()
        self.cost_s = FIRST_S * SHARE

    def due(self) -> bool:
        """Return whether enough time has passed since the last save."""
        return time.monotonic() - self.saved_at >= min(LONGEST_S, self.cost_s / SHARE)

    def save(self) -> Checkpoint:
        """Save the whole state, and the best weights when they are new."""
        self.began_at = time.monotonic()
        if self.state.scored_weights != self.saved_weights:
            self.best = self.blobs.put(self.state.scored_weights)
            self.saved_weights = self.state.scored_weights
        last = self.blobs.put(self.state.to_bytes())
        self.note_cost()
        return Checkpoint(last, self.best)

    def note_cost(self) -> None:
        """Count the time until now to the last save; called again after the worker's answer, which
        training waits for too.
        """
        self.saved_at = time.monotonic()
        self.cost_s = self.saved_at - self.began_at
