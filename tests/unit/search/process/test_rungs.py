"""A trial trains on while a state is written and while it is judged at a rung, and has nothing of that when it is
to stop.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives.data.dataset import Dataset
from objectives.training.fit import DivergedError, Training
from objectives.training.results import EpochResult
from objectives.training.state import TrainingState
from search.artifacts import open_objects
from search.artifacts.marker import MARKERS
from search.process import child
from search.process.child import train
from search.process.link import Link
from search.process.messages import (
    Checkpoint,
    Drawn,
    Message,
    Reply,
    Saved,
    Trained,
)
from search.process.saver import Save
from spaces import load_space
from tests.support.talking_trials import MARKER, job_of, link, trained


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
    """What a trial has told a worker that answers each save, at once or when it has seen frames of the
    next epoch.
    """
    open_objects(str(folder), MARKERS).write(MARKER, b"")
    config = load_space("tiny", (f"train.epochs={epochs}", "train.steps_per_epoch=1")).default()
    job = replace(job_of(config, data, folder), rungs=rungs)
    worker, ours = link()
    ask, asked_at = child.Question.ask, list[int]()
    ended = threading.Event()

    def noting(question: child.Question) -> None:
        asked_at.append(ours.beats.value)
        ask(question)

    def answer() -> list[Message]:
        told = list[Message]()
        # a reset or a broken pipe: the trial has ended, and has not read the last answer
        with suppress(EOFError, ConnectionError):
            while True:
                told.append(worker.recv())
                match told[-1]:
                    case Saved(number=number, finished=False):
                        while late and ours.beats.value <= asked_at[-1] + 1:
                            if ended.wait(0.001):
                                break
                        worker.send(Reply(number, stop=stop))
        return told

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        # however long this machine lets the worker wait for its turn
        patch.setattr("search.process.link.REPLY_S", 60.0)
        patch.setattr(child.Question, "ask", noting)
        told = pool.submit(answer)
        try:
            with ours.pipe:
                train(job, config, data, ours)
        finally:
            ended.set()
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
