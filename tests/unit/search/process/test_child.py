"""What a trial's process makes of its errors, and of pictures that cannot be drawn."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives.config import Config, Smp, Train
from objectives.data.dataset import Dataset
from search.artifacts import open_objects
from search.artifacts.marker import MARKERS
from search.process import child
from search.process.causes import cause_of, dies_of
from search.process.child import can_work, train
from search.process.messages import (
    Cause,
    Drawn,
    Failed,
    Noted,
    Reply,
    Saved,
    SaveNow,
    Timed,
    Trained,
    Word,
)
from spaces import load_space
from tests.support.talking_trials import MARKER, heard, job_of, link, trained


@pytest.mark.parametrize(
    "said",
    [
        "No CUDA GPUs are available",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
        "installed a driver",
        "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing "
        "env variable",
        "Unexpected error from cudaGetDeviceCount(). Error 35: CUDA driver version is insufficient "
        "for CUDA runtime version",
        "CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "CUDA error: MPS client failed to connect to the MPS control daemon or the MPS server",
        "CUDA error: MPS server is not ready to accept new MPS client requests",
        "CUDA error: the remote procedural call between the MPS server and the MPS client failed",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "DataLoader worker (pid 4711) is killed by signal: Bus error. It is possible that "
        "dataloader's workers are out of "
        "shared memory. Please try to raise your shared memory limit.",
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
        RuntimeError(
            "unable to mmap 4096 bytes from file </torch_1_2>: Cannot allocate memory (12)"
        ),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ],
)
def test_what_may_be_anybodys_fault_counts_as_a_crash(error: Exception) -> None:
    assert dies_of(error)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), Cause.ERROR),
        (ValueError("Caught ValueError in DataLoader worker process 0."), Cause.ERROR),
        (OSError("No space left on device"), Cause.SURROUNDINGS),
    ],
)
def test_other_errors_keep_their_cause(error: Exception, cause: Cause) -> None:
    assert not dies_of(error)
    assert cause_of(error) == cause


def test_a_limit_is_set_after_prefetchers_are_forked_and_before_anything_is_on_the_device(
    terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = list[str]()
    for name in ("TrainingBatches", "limit_memory", "restore"):
        made = getattr(child, name)

        def noted(*given: object, made: Any = made, name: str = name, **named: object) -> Any:
            order.append(f"{name} {given[-1]}" if name == "limit_memory" else name)
            return None if name == "limit_memory" else made(*given, **named)

        monkeypatch.setattr(child, name, noted)
    open_objects(str(tmp_path), MARKERS).write(MARKER, b"")
    config = load_space("tiny", ("train.epochs=1", "train.steps_per_epoch=1")).default()
    job = replace(job_of(config, terrain, tmp_path), limited=True, memory_bytes=123)
    worker, ours = link()
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(heard, worker)
        with ours.pipe:
            train(job, config, terrain, ours)
        told.result()
    assert order == ["TrainingBatches", "limit_memory 123", "restore"]


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ([], False),
        ([SaveNow()], True),
        ([Reply(1, stop=False)], False),  # to a save that was not waited for
        # likewise: it is said again when this process tells of a save
        ([Reply(1, stop=True)], True),
        ([SaveNow(), Reply(1, stop=False)], True),
    ],
)
def test_a_worker_calls_for_a_save_once(words: list[Word], called: bool) -> None:
    worker, ours = link()
    for word in words:
        worker.send(word)
    assert ours.called() is called
    assert not ours.called()


def test_what_a_worker_calls_for_comes_after_the_epoch_at_hand(
    terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child.Saver, "due", lambda _: False)
    monkeypatch.setattr("search.process.link.REPLY_S", 0.0)
    told = trained(terrain, tmp_path, epochs=3)
    assert told[:2] == [Trained(), Trained()]
    assert [len(saved.results) for saved in told if isinstance(saved, Saved)] == [3]
    assert [each.filename for each in told if isinstance(each, Drawn)] == [
        "curve.png",
        "confusion.png",
        "predictions.png",
    ]
    (timed,) = [each for each in told if isinstance(each, Timed)]
    assert 0.0 < timed.latency_s < 60.0
    told = trained(terrain, tmp_path, SaveNow(), epochs=3)
    assert [len(saved.results) for saved in told if isinstance(saved, Saved)] == [1, 3]


@pytest.mark.parametrize(
    ("memory_bytes", "said"),
    [
        (0, "augments on cpu, where its frames take"),
        (10**6, "augments on the host: its frames are"),
    ],
)
def test_a_trial_says_where_it_augments_when_asked(
    terrain: Dataset, tmp_path: Path, memory_bytes: int, said: str
) -> None:
    open_objects(str(tmp_path), MARKERS).write(MARKER, b"")
    config = load_space("tiny", ("train.epochs=1", "train.steps_per_epoch=1")).default()
    for asked in ("device", "auto", "host"):
        job = replace(
            job_of(config, terrain, tmp_path), augment_on=asked, memory_bytes=memory_bytes
        )
        worker, ours = link()
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(heard, worker)
            with ours.pipe:
                train(job, config, terrain, ours)
            notes = [each.text for each in told.result() if isinstance(each, Noted)]
        assert [text for text in notes if text.startswith(said)] == notes
        assert len(notes) == (asked == "device")


def test_frames_on_the_device_count_in_what_a_config_needs(
    terrain: Dataset, tmp_path: Path
) -> None:
    config = load_space("tiny", ()).default()
    needs = []
    for asked in ("host", "device"):
        worker, ours = link()
        job = replace(job_of(config, terrain, tmp_path), augment_on=asked)
        assert can_work(config, terrain, job, ours.pipe)
        told = worker.recv()
        assert told.on_device == (asked == "device")
        needs.append(told.memory_bytes)
    assert needs[1] - needs[0] == len(terrain.parts["train"]) * 64 * 128 * 2


@pytest.mark.parametrize(
    "error", [ValueError("no font"), torch.OutOfMemoryError("CUDA out of memory"), MemoryError()]
)
def test_a_trained_trial_ends_without_pictures_that_cannot_be_drawn(
    error: Exception, terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(child, "draw_pictures", fail)
    *both, timed = trained(terrain, tmp_path, epochs=1)  # it is written while it draws
    (saved,) = [each for each in both if isinstance(each, Saved)]
    (noted,) = [each for each in both if isinstance(each, Noted)]
    assert saved.finished
    assert noted.text.startswith("lacks pictures")
    assert isinstance(timed, Timed)


def test_a_trained_trial_ends_where_its_network_cannot_be_timed(
    terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(child, "latency_s", fail)
    told = trained(terrain, tmp_path, epochs=1)
    assert told[-1] == Noted("is not timed: CUDA out of memory")
    assert [type(each) for each in told].count(Drawn) == 3


def test_a_network_that_needs_two_frames_cannot_work_on_a_training_part_of_one(
    terrain: Dataset, tmp_path: Path
) -> None:
    lone = replace(terrain, parts={**terrain.parts, "train": terrain.parts["train"][:1]})
    config = Config(
        model=Smp(decoder="deeplabv3", encoder="tu-test_resnet"), train=Train(batch_size=8)
    )
    for data, works in ((lone, False), (terrain, True)):
        ours, theirs = multiprocessing.Pipe()
        assert can_work(config, data, job_of(config, data, tmp_path), theirs) == works
        told = ours.recv()
        if not works:
            assert isinstance(told, Failed)
            assert told.cause == Cause.INFEASIBLE
            assert "the training part must have at least 2 frames" in told.message
