"""One worker as a real process: a killed or stopped trial goes on under its own number, and
foreigners may not join.
"""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from objectives.data.dataset import open_dataset
from objectives.errors import UserError
from search.artifacts import open_blobs
from search.artifacts.pictures import open_pictures
from search.database.tables import EPOCH
from search.export.best import export_best
from search.place import Place as CommandPlace
from search.study.joining import check_worker
from search.study.pruners import judging
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.study.trial_lines import read_trials
from search.trials import checkpoints
from tests.support.blob_names import names_in
from tests.support.taken_trials import begun, end, take
from tests.support.waiting import wait_for

Maker = Callable[..., None]
LEASE = "--lease=5s"


class Place:
    """A database and folders, and workers on them."""

    def __init__(self, database: str, root: Path) -> None:
        self.database = database
        self.artifacts = str(root / "artifacts")
        self.root = root
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker on the study ``small``; its words go to a log of its own."""
        command = [
            sys.executable,
            "-m",
            "search",
            "worker",
            "--study",
            "small",
            "--device",
            "cpu",
            "--threads",
            "1",
            *options,
        ]
        place = {
            "SEARCH_STORAGE": self.database,
            "SEARCH_ARTIFACTS": self.artifacts,
            "SEARCH_CACHE": str(self.root / "cache"),
        }
        with (self.root / f"worker-{len(self.started)}.log").open("wb") as log:
            self.started.append(
                subprocess.Popen(command, env=os.environ | place, stdout=log, stderr=log)
            )
        return self.started[-1]

    def words(self) -> str:
        """What all workers have said."""
        return "\n".join(log.read_text() for log in sorted(self.root.glob("worker-*.log")))


@pytest.fixture
def place(database: str, tmp_path: Path) -> Iterator[Place]:
    place = Place(database, tmp_path)
    yield place
    for worker in place.started:  # those that a failed test has left
        worker.kill()
        worker.wait()


def epochs_of(study: Study, number: int) -> int:
    trials = [trial for trial in read_trials(study) if trial.number == number]
    return trials[0].epochs if trials else 0


def check_history(study: Study, number: int, epochs: int) -> None:
    """Every epoch was reported once, in order, and its measures beside its score."""
    trial = study.optuna.get_trials()[number]
    assert list(trial.intermediate_values) == list(range(1, epochs + 1))
    with study.engine.connect() as connection:
        rows = connection.execute(select(EPOCH).order_by(EPOCH.c.epoch)).all()
    ours = {row.epoch: row for row in rows if row.trial_id == trial._trial_id}
    assert list(ours) == list(trial.intermediate_values)
    for epoch, score in trial.intermediate_values.items():
        known = [value for value in ours[epoch].measured if not math.isnan(value)]
        assert sum(known) / len(known) == pytest.approx(score), "of all classes but the ignored"
        assert 0 < ours[epoch].soft_score < 1
        assert ours[epoch].balanced_nll > 0
        assert ours[epoch].seconds > 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_trial_goes_on_under_its_own_number(
    how: signal.Signals, place: Place, make_study: Maker
) -> None:
    make_study(place.database, trials=1, sets=("train.epochs=40",))
    study = open_study(place.database, "small")
    first = place.start(LEASE)
    done = wait_for(lambda: (epochs := epochs_of(study, 0)) >= 2 and epochs)
    first.send_signal(how)
    code = first.wait(20)
    assert code == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    if how == signal.SIGTERM:
        assert read_status(study).trials["interrupted"] == 1
    second = place.start(LEASE)
    assert second.wait(180) == 0, place.words()
    trials = study.optuna.get_trials()
    assert [(trial.number, trial.state.name) for trial in trials] == [(0, "COMPLETE")]
    assert "goes on" in place.words()
    assert trials[0].user_attrs["epochs"] == 40 > done
    check_history(study, 0, 40)
    study.close()


def test_a_finished_trial_shows_its_numbers_and_pictures_and_keeps_its_best_weights_only(
    place: Place, make_study: Maker
) -> None:
    make_study(place.database, trials=1, sets=("train.epochs=2",))
    assert place.start().wait(180) == 0, place.words()
    study = open_study(place.database, "small")
    trial = study.optuna.get_trials()[0]
    assert trial.value == max(trial.intermediate_values.values())
    assert {
        "iou soil",
        "best_epoch",
        "parameters",
        "train_seconds",
        "end_cause",
    } <= trial.user_attrs.keys()
    pictures = [value for key, value in trial.system_attrs.items() if key.startswith("artifacts:")]
    assert len(pictures) == 3
    pointers = checkpoints.pointers_of(study.engine, trial._trial_id)
    assert list(pointers) == ["best"]
    assert pointers["best"].score == trial.value
    assert names_in(open_blobs(place.artifacts)) == [pointers["best"].blob]
    study.close()


@pytest.mark.long
def test_trials_are_pruned_but_never_the_control(place: Place, make_study: Maker) -> None:
    bad_control = ("control.optimiser.learning_rate=2.0e-4", "control.train.batch_size=16")
    make_study(
        place.database, trials=5, sets=("train.epochs=4", *bad_control), source="synthetic:60"
    )
    assert place.start().wait(300) == 0, place.words()
    study = open_study(place.database, "small")
    trials = study.optuna.get_trials()
    assert len(trials) == 5
    assert trials[0].state.name == "COMPLETE"
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned
    for trial in pruned:
        assert trial.user_attrs["end_cause"] == "pruned"
        assert max(trial.intermediate_values) in judging(study.space).rungs
        assert not checkpoints.pointers_of(study.engine, trial._trial_id)
    study.close()


@pytest.mark.long
def test_a_second_worker_takes_over_from_a_killed_one_before_it_leaves(
    place: Place, make_study: Maker
) -> None:
    # still trains when the second worker has come
    make_study(place.database, trials=1, sets=("train.epochs=150",))
    study = open_study(place.database, "small")
    first = place.start(LEASE)
    wait_for(lambda: read_status(study).trials["running"] == 1)
    second = place.start(LEASE)
    wait_for(
        lambda: (
            sum(worker["alive"] for worker in read_status(study).workers) == 2
            and epochs_of(study, 0)
        )
    )
    first.kill()
    first.wait()
    assert second.wait(180) == 0, place.words()
    assert read_status(study).trials["complete"] == 1
    check_history(study, 0, 150)
    study.close()


@pytest.mark.long
def test_draining_finishes_the_trial_at_hand_and_takes_no_other(
    place: Place, make_study: Maker
) -> None:
    make_study(place.database, trials=3, sets=("train.epochs=30",))
    study = open_study(place.database, "small")
    worker = place.start("--drain")
    wait_for(lambda: epochs_of(study, 0) >= 1)
    worker.terminate()
    assert worker.wait(120) == 0, place.words()
    assert read_status(study).trials == {
        "complete": 1, "pruned": 0, "failed": 0, "running": 0, "interrupted": 0, "waiting": 0,
    }  # fmt: skip
    study.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_the_process_of_a_trial_ends_with_its_killed_worker(
    stopped: bool, place: Place, make_study: Maker
) -> None:
    make_study(place.database, trials=1, sets=("train.epochs=50",))
    study = open_study(place.database, "small")
    worker = place.start()
    wait_for(lambda: epochs_of(study, 0) >= 1)
    family = psutil.Process(worker.pid).children(recursive=True)
    trials = [process for process in family if process.ppid() != worker.pid]
    assert trials
    for trial in trials if stopped else []:
        trial.suspend()
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    study.close()


def test_a_worker_leaves_before_the_deadline_when_no_training_would_end_by_it(
    place: Place, make_study: Maker
) -> None:
    """Ten minutes as the only training took are not left of the hour."""
    make_study(place.database, trials=200, until_s=3600.0)
    study = open_study(place.database, "small")
    end(study, take(study, "another"), 600.0)
    begun(study, 55)
    assert place.start().wait(120) == 0, place.words()
    assert place.words().count("nothing more is begun: a training takes about 10 min, ") == 1
    status = read_status(study)
    study.close()
    assert [status.trials[state] for state in ("complete", "running", "pruned", "failed")] == [
        1,
        0,
        0,
        0,
    ]
    assert status.budget.over


def test_a_worker_with_other_data_or_another_version_may_not_join(
    small_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = open_dataset(small_study.spec.source, small_study.spec.frames, tmp_path)
    check_worker(small_study, own)
    other = open_dataset("synthetic:40:seed=9", small_study.spec.frames, tmp_path)
    with pytest.raises(UserError, match="data differs"):
        check_worker(small_study, other)
    monkeypatch.setattr("search.study.joining.OBJECTIVE_VERSION", "0")
    with pytest.raises(UserError, match="objective version differs"):
        check_worker(small_study, own)


@pytest.mark.long
def test_a_study_whose_artifacts_live_in_s3_runs_resumes_and_exports(
    place: Place, s3_endpoint: str, tmp_path: Path, make_study: Maker
) -> None:
    place.artifacts = f"s3://models/team?endpoint={s3_endpoint}"
    make_study(place.database, trials=1, sets=("train.epochs=20",), artifacts=place.artifacts)
    study = open_study(place.database, "small")
    first = place.start(LEASE)
    wait_for(lambda: epochs_of(study, 0) >= 1)
    first.kill()
    first.wait()
    assert place.start(LEASE).wait(180) == 0, place.words()
    trial = study.optuna.get_trials()[0]
    assert trial.state.name == "COMPLETE"
    pictures = open_pictures(place.artifacts)
    rows = [
        json.loads(value)
        for key, value in trial.system_attrs.items()
        if key.startswith("artifacts:")
    ]
    assert all(
        pictures.open_reader(row["artifact_id"]).read().startswith(b"\x89PNG") for row in rows
    )
    assert len(rows) == 3
    provenance = export_best(
        study, CommandPlace(place.database, place.artifacts, tmp_path / "cache"), tmp_path / "out"
    )
    assert provenance.validation.score == trial.value
    study.close()
