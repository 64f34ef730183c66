"""What a budget buys: the arithmetic, the recorded gains, and a few steps of a real training."""

import math
import re
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from objectives.data.dataset import DataOptions, open_dataset
from objectives.training.fit import fit, prepare
from objectives.training.resources import estimate
from search.cli.actions.plan import trainings_within
from search.cli.app import app
from search.doctor.gains import GAINS, expected_gain
from search.doctor.speed import largest, measure
from spaces import load_space

PAGE = Path(__file__).parents[4] / "docs" / "search.md"


def test_the_gains_are_those_of_the_page() -> None:
    page = PAGE.read_text()
    for table, gains in GAINS.items():
        rows = page.partition(f"**Searches in virtual time on {table}**")[2].splitlines()
        row = next(line for line in rows if line.startswith("| model | posterior"))
        told = [(float(mean), float(error)) for mean, error in re.findall(r"(\S+) ± (\S+)", row)]
        assert [(each.mean, each.error) for each in gains] == told
        assert [each.trainings for each in gains] == [8, 16, 40]


def test_what_is_not_recorded_is_not_promised() -> None:
    assert "not recorded for fewer than 8" in expected_gain(7)
    told = expected_gain(15)
    assert "after 8 trainings +0.0000 ± 0.0002 (mars-a), +0.0079 ± 0.0018 (terrain)." in told
    told = expected_gain(math.inf)
    assert "after 40 trainings +0.0034 ± 0.0008 (mars-a), +0.0447 ± 0.0019 (terrain)." in told


@pytest.mark.parametrize(
    ("until_s", "gpu_s", "workers", "fitting"),
    [
        (3600.0, 0.0, 1, 5),  # the fifth ends after 60 minutes, a sixth would not
        (3600.0, 0.0, 2, 10),
        (3599.0, 0.0, 2, 8),
        (0.0, 3600.0, 2, 5),  # hours are those of all devices together
        (3600.0, 1500.0, 2, 2),
        (0.0, 0.0, 2, math.inf),
    ],
)
def test_trainings_that_fit_end_in_time(
    until_s: float, gpu_s: float, workers: int, fitting: float
) -> None:
    assert trainings_within(until_s, gpu_s, 720.0, workers) == fitting


def test_a_few_steps_tell_how_long_a_training_takes(tmp_path: Path) -> None:
    data = open_dataset("synthetic:80", DataOptions(), tmp_path)
    config = load_space("tiny", ("train.epochs=2",)).default()
    torch.set_num_threads(1)
    training = prepare(config, data, seed=0, device=torch.device("cpu"))
    start = time.perf_counter()
    list(fit(training))
    took_s = time.perf_counter() - start
    speed = measure(config, data, torch.device("cpu"))
    assert (speed.epochs, speed.memory_bytes) == (2, 0)
    assert took_s / 4 < speed.seconds < took_s * 4  # other processes share the cores


def test_no_config_that_was_drawn_is_larger_than_the_largest(tmp_path: Path) -> None:
    data = open_dataset("synthetic:40", DataOptions(), tmp_path)
    space = load_space("small", ())
    size = estimate(largest(space, data, 0), data.spec).multiply_adds
    assert size > estimate(space.default(), data.spec).multiply_adds
    assert size == estimate(largest(space, data, 0), data.spec).multiply_adds


def test_the_command_says_what_a_deadline_buys(tmp_path: Path) -> None:
    words = ["plan", "--data", "synthetic:40", "--space", "tiny", "--trials", "40"]
    words += ["--until", "1s", "--workers", "2", "--device", "cpu", "--home", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "the control: about" in result.output
    assert "such trainings fit into the time with 2 worker(s)" in result.output
    assert "not recorded for fewer than 8" in result.output
    assert not (tmp_path / "postgres").exists()
