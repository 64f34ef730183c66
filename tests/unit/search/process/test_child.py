"""What a trial's process makes of its errors, and of pictures that cannot be drawn."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives.config import Config, Smp, Train
from objectives.data.dataset import Dataset
from objectives.training.fit import DivergedError, Training
from objectives.training.results import EpochResult
from objectives.training.state import TrainingState
from search.artifacts import open_objects
from search.artifacts.marker import MARKERS
from search.process import child
from search.process.causes import cause_of, dies_of
from search.process.child import can_work, train
from search.process.link import Link
from search.process.messages import (
    Cause,
    Checkpoint,
    Drawn,
    Failed,
    Job,
    Message,
    Noted,
    Reply,
    Run,
    Saved,
    SaveNow,
    Timed,
    Trained,
    Word,
)
from search.process.saver import Save
from spaces import load_space

MARKER = "ab" * 32


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


def link() -> tuple[Connection, Link]:
    """The worker's end of a pipe, and the other one as a trial's process holds it."""
    ours, theirs = multiprocessing.Pipe()
    return ours, Link(theirs, multiprocessing.RawValue("Q", 0))


def job_of(config: Config, data: Dataset, folder: Path) -> Job:
    return Job(
        0, config.model_dump_json(), data.directory, str(folder), folder, MARKER, Run(1), "", threads=1, prefetchers=0,
        rungs=(), checkpoints=(), memory_bytes=0, limited=False, alone=False, gpu_bf16=False, verbose=False,
    )  # fmt: skip


def trained(data: Dataset, folder: Path, *words: Word, epochs: int) -> list[Message]:
    """What a trial has told; the worker has said these words before it began, and is silent from
    then on.
    """
    open_objects(str(folder), MARKERS).write(MARKER, b"")
    config = load_space("tiny", (f"train.epochs={epochs}", "train.steps_per_epoch=1")).default()
    job = job_of(config, data, folder)
    worker, ours = link()
    for word in words:
        worker.send(word)
    # hears while it trains, as a worker does: a pipe holds no three pictures
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(heard, worker)
        with ours.pipe:
            train(job, config, data, ours)
        return told.result()


def heard(pipe: Connection) -> list[Message]:
    """All messages until the other end is closed."""
    told = list[Message]()
    with suppress(EOFError):
        while True:
            told.append(pipe.recv())
    return told


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


def test_an_answer_is_that_to_what_was_asked_or_a_stop() -> None:
    worker, ours = link()
    save = Save((), (), finished=False, checkpoint=Checkpoint("a", "b"))
    assert [ours.tell(save) for _ in range(3)] == [1, 2, 3]
    assert ours.answer(1, at_once=True) is None
    worker.send(Reply(1, stop=False))
    assert ours.answer(2, at_once=True) is None
    worker.send(Reply(2, stop=False))
    assert ours.answer(2) is False
    worker.send(Reply(2, stop=True))
    assert ours.answer(3) is True
    assert [worker.recv().number for _ in range(3)] == [1, 2, 3]


def judged(
    data: Dataset, folder: Path, *, epochs: int, rungs: tuple[int, ...], stop: bool, late: bool
) -> list[Message]:
    """What a trial has told a worker that answers each save, at once or when the next epoch's frames were
    seen.
    """
    open_objects(str(folder), MARKERS).write(MARKER, b"")
    config = load_space("tiny", (f"train.epochs={epochs}", "train.steps_per_epoch=1")).default()
    job = replace(job_of(config, data, folder), rungs=rungs)
    worker, ours = link()

    def answer() -> list[Message]:
        told = list[Message]()
        with suppress(EOFError):
            while True:
                told.append(worker.recv())
                match told[-1]:
                    case Saved(number=number, finished=False):
                        seen = ours.beats.value
                        while late and ours.beats.value <= seen + 1:
                            time.sleep(0.001)
                        worker.send(Reply(number, stop=stop))
        return told

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(answer)
        with ours.pipe:
            train(job, config, data, ours)
        return told.result()


@pytest.mark.parametrize("late", [False, True])
def test_a_trial_that_is_stopped_at_a_rung_has_no_epoch_after_it(
    late: bool, terrain: Dataset, tmp_path: Path
) -> None:
    told = judged(terrain, tmp_path, epochs=4, rungs=(2,), stop=True, late=late)
    saved = [each for each in told if isinstance(each, Saved)]
    assert [len(each.results) for each in saved] == [2]
    assert told.count(Trained()) == 1
    assert [type(each) for each in told].count(Drawn) == 3


@pytest.mark.parametrize("late", [False, True])
def test_a_trial_that_may_go_on_is_what_it_is_without_rungs(
    late: bool, terrain: Dataset, tmp_path: Path
) -> None:
    with_rungs = judged(terrain, tmp_path, epochs=4, rungs=(1, 2, 3), stop=False, late=late)
    *saved, last = [each for each in with_rungs if isinstance(each, Saved)]
    assert [len(each.results) for each in saved] == [1, 2, 3]
    without = trained(terrain, tmp_path, epochs=4)
    (alone,) = [each for each in without if isinstance(each, Saved)]
    assert [result.loss for result in last.results] == [result.loss for result in alone.results]
    assert [each.score for each in last.results] == [each.score for each in alone.results]


def test_what_befalls_a_trial_behind_a_rung_that_it_did_not_pass_is_not_its_end(
    terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = child.fit

    def diverging(training: Training, *heard: Any) -> Iterator[EpochResult]:
        yield next(fit(training, *heard))
        raise DivergedError("the loss is nan in epoch 2")

    monkeypatch.setattr(child, "fit", diverging)
    told = judged(terrain, tmp_path, epochs=4, rungs=(1,), stop=True, late=False)
    assert [len(each.results) for each in told if isinstance(each, Saved)] == [1]
    with pytest.raises(DivergedError):
        judged(terrain, tmp_path, epochs=4, rungs=(1,), stop=False, late=False)


class HeldBlobs:
    """A store that holds back the second blob until it is let go."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.let_go = threading.Event()

    def put(self, data: bytes) -> str:
        self.given.append(data)
        if len(self.given) == 2:
            assert self.let_go.wait(30.0)
        return f"blob {len(self.given)}"


def test_training_goes_on_while_a_state_is_written(
    terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = HeldBlobs()
    monkeypatch.setattr(child, "PatientBlobs", lambda *_: blobs)
    due = iter([False, True, False])
    monkeypatch.setattr(child.Saver, "due", lambda _: next(due))
    left = iter(range(2))
    sent = Link.send

    def send(self: Link, message: Message) -> None:
        sent(self, message)
        if isinstance(message, Trained) and next(left, None) is None:
            blobs.let_go.set()

    monkeypatch.setattr(Link, "send", send)
    told = trained(terrain, tmp_path, epochs=4)
    saved = [each for each in told if isinstance(each, Saved)]
    assert [len(each.results) for each in saved] == [2, 4]
    assert (
        told.index(saved[0]) > [place for place, each in enumerate(told) if each == Trained()][-1]
    )
    config = load_space("tiny", ("train.epochs=4", "train.steps_per_epoch=1")).default()
    state = TrainingState(
        config, terrain.spec, seed=1, steps_per_epoch=1, device=torch.device("cpu")
    )
    state.load_bytes(blobs.given[1])
    assert state.epoch == 2


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
