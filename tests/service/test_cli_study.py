"""The commands that scripts rely on, around one finished study: their words, JSON shapes and exit
codes.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

DATA = "synthetic:40"
SHORT = ("--set", "train.epochs=2", "--set", "train.steps_per_epoch=2")
CLASSES = {"soil", "bedrock", "sand", "big_rock"}
STATES = {"complete", "pruned", "failed", "running", "interrupted", "waiting"}


@dataclass(frozen=True)
class Finished:
    """A study of two trials after ``search run``, its place, and what the run said and showed."""

    storage: str
    root: Path
    words: tuple[str, ...]  # of the command that made it, from --study on
    output: str
    commands: tuple[str, ...]  # of the processes that it started

    @property
    def place(self) -> tuple[str, ...]:
        """The options that name it."""
        return ("--study", "a study, été 1", "--storage", self.storage)


@pytest.fixture(scope="module")
def finished(
    search: Any, make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    root = tmp_path_factory.mktemp("finished")
    storage = make_database().replace("postgres:@", "postgres:top-secret@")
    words = (
        "--study",
        "a study, été 1",
        "--storage",
        storage,
        "--artifacts",
        str(root / "artifacts"),
    )
    words += (
        "--cache",
        str(root / "cache"),
        "--data",
        DATA,
        "--space",
        "tiny",
        "--trials",
        "2",
        *SHORT,
    )
    process = search.start("run", *words, "--device", "cpu")
    commands = set()
    while process.poll() is None:
        commands |= set(family_of(process.pid))
        time.sleep(0.2)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not errors
    return Finished(storage, root, words, output, tuple(commands))


def family_of(pid: int) -> Iterator[str]:
    """The command lines of the processes below one."""
    try:
        for child in psutil.Process(pid).children(recursive=True):
            yield " ".join(child.cmdline())
    except psutil.NoSuchProcess:
        return


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said that ended well and complained of nothing."""
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_run_without_a_terminal_prints_lines(finished: Finished) -> None:
    lines = finished.output.splitlines()
    assert lines[0] == "data: 39 frames of 64x128 (29 train, 6 validation, 4 test), 13 dropped"
    assert "study 'a study, été 1': 2 trials of 2 epochs, the control first" in lines
    for trial in ("trial 0 (control)", "trial 1"):
        assert sum(line.startswith(f"{trial} complete after 2 epochs: 0.") for line in lines) == 1
    assert (
        lines[-4]
        == "study a study, été 1: 2 of 2 trials (2 complete), 0 workers alive; over: every trial "
        "has ended"
    )
    assert lines[-2].startswith("best: trial ")
    assert lines[-1].startswith("expected of its network on other frames, by 2 runs: 0.")
    assert "\x1b" not in finished.output


def test_a_password_is_in_no_workers_command_line(finished: Finished) -> None:
    workers = [command for command in finished.commands if " search worker " in command]
    assert workers
    assert not [command for command in workers if "top-secret" in command]


def test_status_as_json(search: Any, finished: Finished) -> None:
    status = json.loads(succeeded(search("status", *finished.place, "--json")))
    told = [
        "study",
        "state",
        "budget",
        "hours",
        "over",
        "limit",
        "deadline_s",
        "standing",
        "trials",
        "best",
        "front",
        "score",
        "learns_from",
        "workers",
    ]
    assert list(status) == [*told, "infeasible", "warnings"]
    assert (status["over"], status["limit"], status["standing"]) == (
        True,
        "none",
        "over: every trial has ended",
    )
    assert status["study"] == "a study, été 1"
    assert status["budget"] == {"trials": 2, "spent": 2}
    assert set(status["trials"]) == STATES
    assert sum(status["trials"].values()) == status["budget"]["spent"]
    assert status["trials"]["complete"] == 2
    told = ["number", "score", "per_class", "recipe", "unfinished", "believed"]
    assert list(status["best"]) == told
    believed = status["best"]["believed"]
    assert list(believed) == ["mean", "sd", "beats_control", "runs"]
    assert believed["runs"] == 2
    assert (believed["beats_control"] is None) == (status["best"]["number"] == 0)
    assert believed["mean"] < status["best"]["score"]  # of its best epoch
    assert status["front"][0].keys() == {"number", "mean", "multiply_adds", "latency_s"}
    assert status["front"][0]["multiply_adds"] > 0
    assert status["front"][0]["latency_s"] > 0
    assert status["best"]["recipe"] == ("control" if status["best"]["number"] == 0 else "")
    assert (status["infeasible"]["trials"], status["warnings"]) == (0, [])
    assert set(status["best"]["per_class"]) <= CLASSES
    assert all(
        0.0 <= iou <= 1.0
        for iou in [status["best"]["score"], *status["best"]["per_class"].values()]
    )
    worker = status["workers"][0]
    assert (worker["device"], worker["alive"], worker["trial"]) == ("cpu", False, None)


def test_status_for_people_is_not_wrapped_in_a_pipe(search: Any, finished: Finished) -> None:
    lines = succeeded(search("status", *finished.place)).splitlines()
    assert len(lines) == 7
    assert lines[1].split() == ["trial", "state", "epochs", "last", "score", "value", "recipe"]
    assert lines[2].split()[-1] == "control"
    assert lines[4].startswith("score: mean IoU of soil, bedrock, sand")
    assert lines[5].startswith("best: trial ")
    assert "; IoU by class: soil 0." in lines[5]
    assert lines[6].startswith("expected of its network on other frames, by 2 runs: ")
    is_control = lines[5].startswith("best: trial 0 (control), ")
    assert ("; no other beats it with more than 80%" in lines[6]) == is_control
    assert ("; beats the control with" in lines[6]) == (not is_control)
    assert succeeded(search("status", *finished.place, "--watch")).splitlines()[-2:] == lines[5:]


def test_init_again_does_nothing_and_says_so(search: Any, finished: Finished) -> None:
    before = search("status", *finished.place, "--json").stdout
    assert "is there already, with equal settings" in succeeded(search("init", *finished.words))
    assert search("status", *finished.place, "--json").stdout == before


@pytest.mark.long
def test_init_again_with_other_arguments_names_them(search: Any, finished: Finished) -> None:
    before = search("status", *finished.place, "--json").stdout
    changes = {
        ("--trials", "3"): "trials is 2 there, 3 wanted",
        ("--set", "model.depth=3"): "model.depth is 2 there, 3 wanted",
        ("--seed", "1"): "seed is 0 there, 1 wanted",
        ("--data", "synthetic:41"): "data",
        ("--until", "60m"): "until",
    }
    for change, named in changes.items():
        done = search("init", *finished.words, *change)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert named in done.stderr
    assert search("status", *finished.place, "--json").stdout == before


def test_a_new_study_waits_for_its_control(
    search: Any, database: str, tmp_path: Path, finished: Finished
) -> None:
    words = ["--storage", database, "--study", "x" * 174]
    more = [
        "--artifacts",
        tmp_path,
        "--cache",
        finished.root / "cache",
        "--data",
        DATA,
        "--space",
        "tiny",
        "--trials",
        3,
    ]
    succeeded(search("init", *words, *more))
    status = json.loads(succeeded(search("status", *words, "--json")))
    assert status["budget"] == {"trials": 3, "spent": 1}
    assert status["trials"] == dict.fromkeys(STATES, 0) | {"waiting": 1}
    assert (status["best"], status["workers"]) == (None, [])
    done = search("export-best", *words, "--artifacts", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "no complete trial yet" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_data_check_as_json(search: Any, tmp_path: Path) -> None:
    report = json.loads(succeeded(search("data", "check", "synthetic:200", "--json")))
    assert {"frames", "kept", "dropped", "classes", "problems"} <= set(report)
    assert report["frames"] == report["kept"] + len(report["dropped"])
    assert set(report["dropped"][0]) == {"frame", "reason"}
    assert set(report["classes"]) >= CLASSES
    assert sum(report["classes"].values()) == pytest.approx(1.0)
    assert report["problems"] == []
    frames = np.zeros((4, 2, 8, 8), np.uint8)
    frames[:, 1] = 200
    np.savez(tmp_path / "bad.npz", training_set=frames)
    bad = search("data", "check", tmp_path / "bad.npz", "--json")
    assert bad.returncode == 2
    assert json.loads(bad.stdout)["problems"]
    told = search("data", "check", tmp_path / "bad.npz")
    assert told.returncode == 2
    assert all(line.startswith("problem: ") for line in told.stderr.splitlines())
    assert told.stderr
    gone = search("data", "check", tmp_path / "gone.npz", "--json")
    assert (gone.returncode, json.loads(gone.stdout)["frames"]) == (2, 0)


@pytest.fixture(scope="module")
def bundle(search: Any, finished: Finished) -> Path:
    out = finished.root / "deep" / ("long name " * 8).strip() / "out"
    options = (
        "--artifacts",
        finished.root / "artifacts",
        "--cache",
        finished.root / "cache",
        "--out",
        out,
    )
    words = succeeded(search("export-best", *finished.place, *options))
    assert words.splitlines()[0].endswith(f"checked after writing: {out}")  # not wrapped
    again = search("export-best", *finished.place, *options)
    assert again.returncode == 2
    assert str(out) in again.stderr
    assert "--force" in again.stderr
    return out


def test_the_bundle_predicts_and_evaluates(search: Any, bundle: Path, tmp_path: Path) -> None:
    for file in bundle.iterdir():
        assert b"top-secret" not in file.read_bytes()
    metrics = json.loads((bundle / "metrics.json").read_text())
    succeeded(search("predict", bundle, "synthetic:24", "--out", tmp_path / "masks.npz"))
    masks = np.load(tmp_path / "masks.npz")["masks"]
    assert masks.dtype == np.uint8
    assert masks.shape[1:] == (64, 128)
    assert set(np.unique(masks).tolist()) <= {1, 2, 3, 4}
    found = json.loads(succeeded(search("evaluate", bundle, DATA, "--json")))
    assert found["score"] == pytest.approx(metrics["validation"]["score"], abs=1e-6)
    assert set(found["per_class"]) <= CLASSES


def test_evaluating_the_test_part_counts_the_look(
    search: Any, bundle: Path, finished: Finished
) -> None:
    from search.study.looks import test_looks as looks_at
    from search.study.stored import open_study

    before = json.loads((bundle / "metrics.json").read_text())["test_looks"]
    found = json.loads(
        succeeded(
            search(
                "evaluate", bundle, DATA, "--split", "test", "--json", "--storage", finished.storage
            )
        )
    )
    assert found["split"] == "test"
    study = open_study(finished.storage, "a study, été 1")
    assert looks_at(study) == before + 1
    study.close()


def test_an_export_that_cannot_be_written_is_no_look(
    search: Any, bundle: Path, finished: Finished
) -> None:
    from search.study.looks import test_looks as looks_at
    from search.study.stored import open_study

    study = open_study(finished.storage, "a study, été 1")
    before = looks_at(study)
    done = search(
        "export-best",
        *finished.place,
        "--artifacts",
        finished.root / "artifacts",
        "--out",
        "/proc/x/model",
    )
    assert done.returncode == 1
    assert "cannot write /proc/x/model" in done.stderr
    assert looks_at(study) == before
    study.close()


def test_a_tampered_bundle_is_refused(search: Any, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, changed := tmp_path / "changed")
    (changed / "metrics.json").write_text(
        (changed / "metrics.json").read_text().replace("0.", "0.9", 1)
    )
    for words in (
        ["predict", changed, "synthetic:24", "--out", tmp_path / "x.npz"],
        ["evaluate", changed, DATA],
    ):
        done = search(*words)
        assert done.returncode == 2
        assert "metrics.json" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.long
def test_a_full_disk_leaves_no_part_of_an_output(
    search: Any, bundle: Path, finished: Finished, tmp_path: Path
) -> None:
    options = (
        "--artifacts",
        finished.root / "artifacts",
        "--cache",
        finished.root / "cache",
        "--out",
        tmp_path / "out",
    )
    for words in (
        ("export-best", *finished.place, *options),
        ("predict", bundle, "synthetic:24", "--out", tmp_path / "out.csv"),
    ):
        done = search(*words, limit_bytes=4096)
        assert done.returncode == 1
        assert str(tmp_path / "out") in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert list(tmp_path.iterdir()) == []
