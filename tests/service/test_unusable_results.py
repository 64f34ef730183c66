"""Whatever a trial's process says, its worker outlives it, and the trial ends with a cause."""

import math
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.artifacts import open_blobs
from search.process import parent as process
from search.process.messages import Drawn, Finished, Message, Saved
from search.study.stored import open_study
from search.worker import loop as worker_loop
from search.worker import trial as trials
from search.worker.blame import MOST_CRASHES
from search.worker.context import Orders, Worker, WorkerSettings
from search.worker.loop import run_worker
from tests.support import broken_trials
from tests.support.spoken import MESSAGES, checkpoint, epoch, saved

Maker = Callable[..., None]
MANY = 400
NUM_CLASSES = 5  # of the terrain
IOU = (0.5,) * NUM_CLASSES


class Stage:
    """A worker that has joined a study, whose trials say what a test tells them to."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        self.worker = worker
        self.folder = folder
        blob = open_blobs(worker.settings.artifacts).put(b"weights")
        self.checkpoint = checkpoint(blob)
        self.next = 0

    def saved(self, *results: Any, **changed: Any) -> Saved:
        """What a trial says after epochs whose checkpoint is in the store."""
        return saved(*results, where=self.checkpoint, **changed)

    def play(self, messages: Sequence[Any]) -> optuna.trial.FrozenTrial:
        """Let the next trial's process say this, whenever it is run; returns the trial as it has
        ended.
        """
        (self.folder / f"{self.next}.pickle").write_bytes(pickle.dumps(list(messages)))
        for _ in range(MOST_CRASHES):
            claimed = worker_loop._claim(self.worker)
            assert isinstance(claimed, worker_loop.Claimed)
            with worker_loop.holding(self.worker, claimed.lease):
                trials.run_trial(self.worker, claimed.lease)
            trial = self.worker.study.storage.get_trial(claimed.lease.trial_id)
            assert trial.number == self.next
            if trial.state.is_finished():
                self.next += 1
                return trial
        raise AssertionError("the trial does not end")


@pytest.fixture
def on_stage(
    database: str, tmp_path: Path, make_study: Maker, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Stage], None]], None]:
    """Let a worker join a study, and then do what a test says instead of working it off."""
    make_study(database, trials=MANY)
    monkeypatch.setattr(trials, "RETRY_S", 0.0)
    monkeypatch.setattr(process, "_enter", partial(broken_trials.says, folder=tmp_path))

    def play(body: Callable[[Stage], None]) -> None:
        monkeypatch.setattr(worker_loop, "pull", lambda worker: body(Stage(worker, tmp_path)))
        study = open_study(database, "small")
        settings = WorkerSettings(
            str(tmp_path / "artifacts"), tmp_path / "cache", device="cpu", threads=1
        )
        run_worker(study, settings, Orders(), lambda line: None)
        study.close()

    return play


def test_a_score_that_is_no_number_fails_its_trial_alone(on_stage: Callable[..., None]) -> None:
    def body(stage: Stage) -> None:
        failed = stage.play(
            [stage.saved(epoch(1, iou=IOU, measured=IOU, score=math.nan)), Finished()]
        )
        assert (failed.state.name, failed.user_attrs["end_cause"]) == ("FAIL", "error")
        assert (
            failed.user_attrs["message"]
            == "the score of epoch 1 must be a number from 0 to 1, got nan"
        )
        assert failed.intermediate_values == {}
        sound = stage.play([stage.saved(epoch(1, iou=IOU, measured=IOU)), Finished()])
        assert (sound.state.name, sound.value, sound.user_attrs["end_cause"]) == (
            "COMPLETE",
            0.5,
            "completed",
        )

    on_stage(body)


def test_epochs_before_an_unusable_one_stay(on_stage: Callable[..., None]) -> None:
    def body(stage: Stage) -> None:
        first, second = epoch(1, iou=IOU, measured=IOU), epoch(2, iou=IOU[:-1])
        failed = stage.play(
            [stage.saved(first, finished=False), stage.saved(first, second, number=2), Finished()]
        )
        assert failed.state.name == "FAIL"
        assert failed.intermediate_values == {1: 0.5}
        assert "one number for each of 5 classes" in failed.user_attrs["message"]

    on_stage(body)


def test_no_picture_costs_a_trial_its_score(on_stage: Callable[..., None]) -> None:
    def body(stage: Stage) -> None:
        said = [
            stage.saved(epoch(1, iou=IOU, measured=IOU)),
            Drawn("curve.png", b"no picture"),
            Drawn("a\0b", b""),
            Finished(),
        ]
        assert stage.play(said).state.name == "COMPLETE"

    on_stage(body)


@pytest.mark.parametrize(
    "said",
    [[], [Finished()], [object], [0.5]],
    ids=["nothing", "no result", "no message", "a number"],
)
def test_an_end_without_a_result_has_a_cause(
    said: list[Any], on_stage: Callable[..., None]
) -> None:
    on_stage(lambda stage: check_ended(stage.play(said)))


@pytest.mark.long
def test_whatever_trials_say_each_ends_with_a_cause_and_the_worker_goes_on(
    on_stage: Callable[..., None],
) -> None:
    def body(stage: Stage) -> None:
        sound = st.builds(
            lambda score: stage.saved(epoch(1, iou=IOU, measured=IOU, score=score), finished=False),
            st.floats(0.0, 1.0),
        )

        @settings(
            max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @given(st.lists(st.one_of(sound, MESSAGES), max_size=4))
        def play(said: list[Message]) -> None:
            check_ended(stage.play([*said, Finished()]))

        play()
        assert (
            stage.play([stage.saved(epoch(1, iou=IOU, measured=IOU)), Finished()]).state.name
            == "COMPLETE"
        )

    on_stage(body)


def check_ended(trial: optuna.trial.FrozenTrial) -> None:
    assert trial.state.is_finished()
    assert trial.user_attrs["end_cause"] in {
        "completed",
        "error",
        "diverged",
        "infeasible",
        "crashed",
    }
    if trial.state.name == "COMPLETE":
        assert trial.value is not None
        assert 0.0 <= trial.value <= 1.0
