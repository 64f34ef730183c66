"""``search slurm``: prints a script for a study that is there, and refuses the rest in one line."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

Maker = Callable[..., None]


@pytest.fixture
def there(database: str, make_study: Maker) -> dict[str, str]:
    """A database with a study, ``it's small``."""
    make_study(database, trials=4, name="it's small")
    return {"SEARCH_STORAGE": database, "SEARCH_STUDY": "it's small"}


def test_it_prints_a_script_without_any_secret(
    search: Any, there: dict[str, str], tmp_path: Path
) -> None:
    done = search("slurm", "--workers", "3", "--gres", "gpu:2", "--mem", "8G", **there)
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("#SBATCH --array=0-2", "#SBATCH --gres=gpu:2", "#SBATCH --mem=8G"):
        assert line in done.stdout.splitlines()
    assert there["SEARCH_STORAGE"] not in done.stdout
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("program=")]
    found = subprocess.check_output(["bash", "-c", f"{line}; $program --help"], text=True)
    assert "Usage: search" in found
    checked = subprocess.run(["bash", "-n"], input=done.stdout, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_more_workers_than_the_server_has_connections_for_are_said(
    search: Any, there: dict[str, str]
) -> None:
    done = search("slurm", "--workers", "4000", **there)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: 4000 workers take up to 8000 connections")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--study", "absent"], "no study 'absent'"),
        (["--workers", "0"], "greater than or equal to 1"),
        (["--gres", "gpu:1\ntouch gone"], r"--gres must be like gpu:1 or gpu:a100:1, got 'gpu:1\n"),
        (["--gres", "gpu:1 --uid=0"], "--gres must be like gpu:1"),
        (["--device", "gpu"], "--device must be auto, cpu, cuda or cuda:N"),
        (["--storage", ""], "nodes do not reach the database of a home: run `search serve`"),
        (["--storage", "postgresql://x:secret@127.0.0.1:1/x"], "cannot be used"),
    ],
)
def test_bad_input_is_one_line(
    search: Any, there: dict[str, str], words: list[str], said: str
) -> None:
    done = search("slurm", *words, **there)
    assert done.returncode == (1 if "secret" in words[1] else 2)
    assert done.stdout == ""
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
