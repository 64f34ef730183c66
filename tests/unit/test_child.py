"""What a trial's process makes of its errors, and of pictures that cannot be drawn."""

import multiprocessing
from pathlib import Path

import pytest
import torch

from objectives.data.dataset import Dataset
from search import child
from search.blobs import open_objects
from search.child import Link, cause_of, dies_of, train
from search.messages import Cause, Job, Noted, Run, Saved
from search.store_owner import MARKERS
from spaces import load_space

MARKER = "ab" * 32


@pytest.mark.parametrize(
    "said",
    [
        "No CUDA GPUs are available",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver",
        "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable",
        "Unexpected error from cudaGetDeviceCount(). Error 35: CUDA driver version is insufficient for CUDA runtime version",
        "CUDA error: CUDA driver version is insufficient for CUDA runtime version",
    ],
)
def test_where_no_config_could_be_trained_the_surroundings_are_to_blame(said: str) -> None:
    error = RuntimeError(said)
    assert not dies_of(error)
    assert cause_of(error) == Cause.SURROUNDINGS


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. "),
        RuntimeError("DataLoader worker (pid(s) 4711, 4712) exited unexpectedly"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("unable to mmap 4096 bytes from file </torch_1_2>: Cannot allocate memory (12)"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        MemoryError(),
    ],
)
def test_what_may_be_anybodys_fault_counts_as_a_crash(error: Exception) -> None:
    assert dies_of(error)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), Cause.INFEASIBLE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), Cause.ERROR),
        (ValueError("Caught ValueError in DataLoader worker process 0."), Cause.ERROR),
        (OSError("No space left on device"), Cause.SURROUNDINGS),
    ],
)
def test_other_errors_keep_their_cause(error: Exception, cause: Cause) -> None:
    assert not dies_of(error)
    assert cause_of(error) == cause


@pytest.mark.parametrize("error", [ValueError("no font"), torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_trained_trial_ends_without_pictures_that_cannot_be_drawn(
    error: Exception, terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(child, "draw_pictures", fail)
    open_objects(str(tmp_path), MARKERS).write(MARKER, b"")
    config = load_space("tiny", ("train.epochs=1", "train.steps_per_epoch=1")).default()
    job = Job(
        0, config.model_dump_json(), terrain.directory, str(tmp_path), MARKER, Run(1), "", threads=1, prefetchers=0, rungs=(),
        checkpoints=(), memory_bytes=0, gpu_bf16=False, verbose=False,
    )  # fmt: skip
    ours, theirs = multiprocessing.Pipe()
    ours.send(child.Reply(1, stop=False))
    finished = train(job, config, terrain, Link(theirs, multiprocessing.RawValue("Q", 0)))
    assert finished.pictures == {}
    saved, noted = ours.recv(), ours.recv()
    assert isinstance(saved, Saved)
    assert saved.finished
    assert isinstance(noted, Noted)
    assert noted.text.startswith("has no pictures")
