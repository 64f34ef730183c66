"""What a trial's own process makes of its checkpoints, and of a device without memory for them."""

from pathlib import Path

import pytest
import torch

from objectives.config import Config, Train, UNet
from objectives.data.dataset import Dataset
from objectives.errors import WorldError
from objectives.training.fit import Training, fit, prepare
from search.artifacts import Blobs
from search.artifacts.folder import FolderObjects
from search.process.causes import cause_of
from search.process.messages import Cause, Checkpoint
from search.process.resume import NONE_YET, restore
from tests.support.training_checks import TOO_MUCH

CPU = torch.device("cpu")
CONFIG = Config(
    model=UNet(depth=2, base_filters=4),
    train=Train(epochs=2, batch_size=16, scale=0.5, steps_per_epoch=1),
)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(FolderObjects(tmp_path))


@pytest.fixture
def saved(terrain: Dataset, blobs: Blobs) -> Checkpoint:
    """A checkpoint after the first epoch."""
    training = begin(terrain)
    next(fit(training))
    return Checkpoint(
        blobs.put(training.state.to_bytes()), blobs.put(training.state.scored_weights)
    )


def begin(data: Dataset) -> Training:
    return prepare(CONFIG, data, seed=0, device=CPU)


@pytest.mark.parametrize(
    "error",
    [
        # beyond the share of this device: it is a smaller one
        torch.OutOfMemoryError(f"CUDA out of memory. {TOO_MUCH}"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)
def test_a_device_without_memory_is_no_damaged_checkpoint(
    error: Exception, saved: Checkpoint, blobs: Blobs
) -> None:
    def full() -> Training:
        raise error

    said: list[str] = []
    with pytest.raises(WorldError, match="no memory now for what was trained") as caught:
        restore((saved, saved), blobs, full, said.append, CPU)
    assert cause_of(caught.value) is Cause.SURROUNDINGS
    assert not said


def test_data_that_cannot_be_read_is_no_damaged_checkpoint(saved: Checkpoint, blobs: Blobs) -> None:
    def unread() -> Training:
        raise WorldError("the memory map is gone")

    said: list[str] = []
    with pytest.raises(WorldError, match="the memory map is gone"):
        restore((saved, saved), blobs, unread, said.append, CPU)
    assert not said


def test_a_run_goes_on_from_the_checkpoint_before_or_says_that_it_starts_anew(
    saved: Checkpoint, blobs: Blobs, terrain: Dataset
) -> None:
    said: list[str] = []
    gone = Checkpoint("0" * 64, saved.best)
    training, found = restore((gone, saved), blobs, lambda: begin(terrain), said.append, CPU)
    assert (training.state.epoch, found) == (1, saved)
    training, found = restore((gone, gone), blobs, lambda: begin(terrain), said.append, CPU)
    assert (training.state.epoch, found) == (0, NONE_YET)
    assert said[-1] == "has no checkpoint that is whole, and starts anew"


@pytest.mark.parametrize("gone", [True, False])
def test_the_best_weights_are_written_again_from_the_state(
    gone: bool, saved: Checkpoint, blobs: Blobs, terrain: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / saved.best[:2] / saved.best[2:]
    content = file.read_bytes()
    if gone:
        file.unlink()
    else:
        file.write_bytes(content[:100])
    said: list[str] = []
    training, found = restore((saved,), blobs, lambda: begin(terrain), said.append, CPU)
    assert (training.state.epoch, found) == (1, saved)
    assert blobs.read(saved.best) == content
    assert "best weights damaged" in said[0]
