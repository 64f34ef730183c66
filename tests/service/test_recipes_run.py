"""`search recipes run` as a user runs it, on a real Postgres: recipes after the control, and the
table of their scores.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search.study.stored import open_study
from spaces import FromParams


@pytest.fixture
def search(database: str, tmp_path: Path) -> object:
    def run(*words: str) -> str:
        place = ["--storage", database]
        if words[0] != "status":
            place += [
                "--artifacts",
                str(tmp_path / "artifacts"),
                "--cache",
                str(tmp_path / "cache"),
            ]
        command = [sys.executable, "-m", "search", *words, *place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.long
def test_recipes_are_trained_after_the_control_and_tabled(
    database: str, tmp_path: Path, search
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "recipes.md"
    asked = [
        "recipes",
        "run",
        "--study",
        "seeds",
        "--recipes",
        "A1,D4",
        "--data",
        "synthetic:40",
        "--epochs",
        "2",
    ]
    asked += [
        "--scale",
        "0.25",
        "--workers",
        "1",
        "--device",
        "cpu",
        "--set",
        "train.steps_per_epoch=1",
        "--out",
        str(out),
    ]
    search(*asked)
    made, nothing, *lines = out.read_text().splitlines()
    assert made.startswith(
        "Made by `search recipes run --recipes A1,D4 --data synthetic:40 --epochs 2 --scale 0.25 "
        "--seed 0 "
        "--set train.steps_per_epoch=1` on data "
    )
    assert nothing == ""
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in lines
    }
    (first,) = (cells for name, cells in rows.items() if name.startswith("A1-"))
    (fourth,) = (cells for name, cells in rows.items() if name.startswith("D4-"))
    assert first[0] == "val 15.12, test 13.68, hidden 13.84"
    assert fourth[0] == "hidden 68.7"
    study = open_study(database, "seeds")
    assert (
        f"on data {study.spec.data_fingerprint[:12]}, objective version "
        f"{study.spec.objective_version}." in made
    )
    trials = {trial.user_attrs["recipe"]: trial for trial in study.optuna.get_trials()}
    assert [trial.number for trial in trials.values()] == [0, 1, 2]
    assert {trial.state.name for trial in trials.values()} == {"COMPLETE"}  # nothing is pruned
    for name, trial in trials.items():
        cells = rows[name]
        assert float(cells[1]) == pytest.approx(100 * trial.value, abs=0.06)
        assert cells[-2] == f"{trial.user_attrs['parameters']:,}"
        assert len(trial.intermediate_values) == 2
    config = study.space.draw(
        FromParams(next(trial.params for name, trial in trials.items() if name.startswith("D4-")))
    )
    assert config.model.base_filters < 16  # a quarter of the report's
    assert (config.train.epochs, config.train.steps_per_epoch) == (2, 1)
    study.close()
    search(*asked, "--force")  # again: nothing is left to do, and the table is written anew
    best = json.loads(search("status", "--study", "seeds", "--json"))["best"]
    assert best["recipe"] in trials
    assert best["recipe"] in search("status", "--study", "seeds")


@pytest.mark.long
def test_interrupted_it_prints_what_has_ended_and_goes_on(database: str, tmp_path: Path) -> None:
    out = tmp_path / "recipes.md"
    places = ["--storage", database, "--artifacts", str(tmp_path / "a"), "--cache", str(tmp_path)]
    command = [
        sys.executable,
        "-m",
        "search",
        "recipes",
        "run",
        "--recipes",
        "A1,C1,C2,D1",
        *places,
    ]
    command += ["--data", "synthetic:40", "--epochs", "2", "--scale", "0.1", "--device", "cpu"]
    command += ["--set", "train.steps_per_epoch=1", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as begun:
        assert begun.stdout is not None
        said = next(line for line in begun.stdout if "(control) complete" in line)
        begun.send_signal(signal.SIGINT)
        rest = begun.stdout.read()
    assert said
    assert begun.returncode == 130
    assert "| control | - |" in rest
    assert not out.exists()
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    assert "| A1-convolution |" in out.read_text()
