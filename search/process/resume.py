"""Where a trial's own process begins: at the newest of its checkpoints that the store still has
whole.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from objectives.device.running_out import shortage_in
from objectives.device.shortage import MemoryTakenError
from objectives.errors import SearchError, first_line
from objectives.training.fit import Training
from objectives.training.state import TrainingState
from search.artifacts import BlobCorruptError, BlobMissingError, BlobStore
from search.process.messages import Checkpoint

NONE_YET = Checkpoint("", "")


def restore(
    checkpoints: tuple[Checkpoint, ...],
    blobs: BlobStore,
    prepared: Callable[[], Training],
    note: Callable[[str], None],
    device: torch.device,
) -> tuple[Training, Checkpoint]:
    """Return a training run at its newest checkpoint whose state is whole, and that checkpoint;
    else at its beginning.

    Raises:
        MemoryTakenError: The device has no memory for what was trained before.
    """
    for checkpoint in checkpoints:
        with memory_as_before(device):
            training = prepared()
            try:
                training.state.load_bytes(blobs.read(checkpoint.last))
            # missing, other bytes, or no state: the store itself was waited for
            except SearchError as error:
                note(f"has a damaged checkpoint, the one before is used: {first_line(error)}")
                continue
        resumed = Checkpoint(
            checkpoint.last, whole_weights(checkpoint.best, blobs, training.state, note)
        )
        note(f"goes on after epoch {training.state.epoch}")
        return training, resumed
    if checkpoints:
        note("has no checkpoint that is whole, and starts anew")
    return prepared(), NONE_YET


@contextmanager
def memory_as_before(device: torch.device) -> Iterator[None]:
    """For what has fitted into a device's memory before: where it does not now, the device is
    smaller, or others use it.
    """
    try:
        yield
    except Exception as error:
        if (short := shortage_in(error, device)) is None:
            raise
        raise MemoryTakenError(
            f"{short.of} has no memory now for what was trained before: {short}"
        ) from error


def whole_weights(
    best: str, blobs: BlobStore, state: TrainingState, note: Callable[[str], None]
) -> str:
    """Return the blob of a state's best weights, written again from the state where the store has
    lost or changed it.
    """
    try:
        blobs.read(best)
    except (BlobMissingError, BlobCorruptError) as error:
        note(
            f"has its best weights damaged in the store, they are written again: "
            f"{first_line(error)}"
        )
        return blobs.put(state.scored_weights)
    return best
