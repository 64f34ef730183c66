"""When training is saved: rarely where it is dear, never more than half a minute apart, and each
weight once.
"""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

import search.process.saver
from search.artifacts import StoreAwayError
from search.process.messages import Checkpoint
from search.process.saver import FIRST_S, LONGEST_S, Save, Saver


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class SlowBlobs:
    """A store that takes its time, and remembers what it was given."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.given: list[bytes] = []

    def put(self, data: bytes) -> str:
        self.clock.now += self.seconds
        self.given.append(data)
        return data.decode()


@dataclass
class State:
    scored_weights: bytes = b"best 1"
    saves: int = 0
    finished: bool = False
    history: list[int] = field(default_factory=list)

    def left_out(self) -> tuple[float, ...]:
        return ()

    def to_bytes(self) -> bytes:
        self.saves += 1
        return f"state {self.saves}".encode()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(search.process.saver, "time", SimpleNamespace(monotonic=found.monotonic))
    return found


def saver_of(clock: Clock, *, seconds: float, best: str = "") -> tuple[Saver, Any, SlowBlobs]:
    state, blobs = State(), SlowBlobs(clock, seconds)
    return Saver(state, blobs, best), state, blobs


def saved(saver: Saver) -> Save:
    """What is told of the state as it is now."""
    told = list[Save]()
    saver.begin(told.append)
    saver.wait()
    (save,) = told
    return save


def waits(saver: Saver, clock: Clock) -> float:
    """After how many seconds the next save is due."""
    start = clock.now
    while not saver.due():
        clock.now += 0.25
    return clock.now - start


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 0.0), (0.05, 20.0), (1.0, LONGEST_S)])
def test_the_dearer_the_rarer(clock: Clock, seconds: float, expected: float) -> None:
    saver, _, _ = saver_of(clock, seconds=seconds)
    assert waits(saver, clock) == pytest.approx(FIRST_S, abs=0.25)
    saved(saver)  # two blobs
    assert waits(saver, clock) == pytest.approx(expected, abs=0.25)


def test_best_weights_are_stored_once_and_again_when_they_change(clock: Clock) -> None:
    saver, state, blobs = saver_of(clock, seconds=0.0)
    assert saved(saver).checkpoint == Checkpoint("state 1", "best 1")
    assert saved(saver).checkpoint == Checkpoint("state 2", "best 1")
    state.scored_weights = b"best 2"
    assert saved(saver).checkpoint == Checkpoint("state 3", "best 2")
    assert blobs.given == [b"best 1", b"state 1", b"state 2", b"best 2", b"state 3"]


def test_a_resumed_training_has_its_best_weights_in_the_store(clock: Clock) -> None:
    saver, _, blobs = saver_of(clock, seconds=0.0, best="best 1")
    assert saved(saver).checkpoint == Checkpoint("state 1", "best 1")
    assert blobs.given == [b"state 1"]


def test_what_is_begun_is_told_once_it_is_whole_and_as_it_was(clock: Clock) -> None:
    saver, state, blobs = saver_of(clock, seconds=0.0)
    entered, let_go = threading.Event(), threading.Event()
    put = blobs.put

    def held(data: bytes) -> str:
        entered.set()
        assert let_go.wait(30.0)
        return put(data)

    blobs.put = held  # type: ignore[method-assign]
    told = list[Save]()
    state.history.append(1)
    saver.begin(told.append)
    assert entered.wait(30.0)
    assert not told
    state.history.append(2)
    state.scored_weights, state.finished = b"best 2", True
    let_go.set()
    saver.begin(told.append)
    saver.wait()
    assert told == [
        Save((1,), (), finished=False, checkpoint=Checkpoint("state 1", "best 1")),  # type: ignore[arg-type]
        Save((1, 2), (), finished=True, checkpoint=Checkpoint("state 2", "best 2")),  # type: ignore[arg-type]
    ]


def test_none_is_due_while_one_is_written_until_the_next_would_be(clock: Clock) -> None:
    saver, _, blobs = saver_of(clock, seconds=0.0)
    let_go = threading.Event()
    blobs.put = lambda data: str(let_go.wait(30.0))  # type: ignore[method-assign]
    clock.now += FIRST_S
    assert saver.due()
    saver.begin(lambda _: None)
    assert waits(saver, clock) == pytest.approx(FIRST_S, abs=0.25)
    let_go.set()
    saver.wait()


def test_what_writing_has_raised_is_raised_by_the_next_save(clock: Clock) -> None:
    saver, _, blobs = saver_of(clock, seconds=0.0)

    def fail(_: bytes) -> str:
        raise StoreAwayError("no disk")

    blobs.put = fail  # type: ignore[method-assign]
    saver.begin(lambda _: None)
    with pytest.raises(StoreAwayError, match="no disk"):
        saver.begin(lambda _: None)
