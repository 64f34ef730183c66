"""A study of a network and a loss that another package brings, from init to masks, and what is read
without the package.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.foreign_package import MODULE, POINTS, USING, install

pytestmark = pytest.mark.long

Search = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def search_in(tmp_path: Path) -> Search:
    """The program in a folder of its own, with the package or without."""
    install(tmp_path / "installed", POINTS)

    def search_in(*words: str, with_parts: bool = True) -> subprocess.CompletedProcess[str]:
        paths = [str(ROOT), *([str(tmp_path / "installed")] if with_parts else [])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "SEARCH_HOME": str(tmp_path / "home"),
        }
        command = [sys.executable, "-m", "search", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path
        )

    return search_in


def test_a_score_that_fails_in_training_ends_its_trial_and_not_the_study(
    search_in: Search, database: str, tmp_path: Path
) -> None:
    late = MODULE.replace(
        "        return 5 * hits", "        assert true.max() < 10, 'no'\n        return 5 * hits"
    )
    install(tmp_path / "installed", POINTS, module=late)
    place = ("--study", "late", "--storage", database)
    asked = ("--data", "synthetic:40", "--space", "tiny", "--trials", "2", "--score", "f2")
    sets = ("--set", "train.epochs=1", "--set", "train.steps_per_epoch=1")
    done = search_in("run", *place, *asked, *sets, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("failed after 0 epochs: the score 'f2' of parts 1.2 fails (no)") == 2
    status = search_in("status", *place, with_parts=False)  # to look needs no package
    assert (status.returncode, "2 failed" in status.stdout) == (0, True)


@pytest.mark.long
def test_the_whole_way_with_a_package_and_what_is_said_without_it(
    search_in: Search, database: str, tmp_path: Path
) -> None:
    place = ("--study", "p", "--storage", database)
    sets = [
        word
        for each in (*USING, "train.epochs=1", "train.steps_per_epoch=2")
        for word in ("--set", each)
    ]
    done = search_in(
        "run",
        *place,
        "--data",
        "synthetic:40",
        "--space",
        "tiny",
        "--trials",
        "2",
        "--device",
        "cpu",
        "--score",
        "f2",
        *sets,
    )
    assert done.returncode == 0, done.stderr
    assert "validation mean f2 0." in done.stdout
    assert search_in("export-best", *place, "--out", "bundle").returncode == 0
    assert "| **mean f2** (parts 1.2) |" in (tmp_path / "bundle" / "README.md").read_text()
    scored = search_in("evaluate", "bundle", "synthetic:40", "--json")
    said = json.loads(scored.stdout)
    assert said["score_is"] == "mean f2"
    assert said["mean"]["f2"] == pytest.approx(said["score"])
    assert set(said["f2"]) == set(said["per_class"])
    metrics = json.loads((tmp_path / "bundle" / "metrics.json").read_text())
    assert (metrics["score_is"], metrics["versions"]["parts"]) == ("mean f2", "1.2")
    for engine in ("torch", "onnx"):
        assert (
            search_in(
                "predict", "bundle", "synthetic:24", "--out", f"{engine}.npz", "--engine", engine
            ).returncode
            == 0
        )
    alone = search_in(
        "predict",
        "bundle",
        "synthetic:24",
        "--out",
        "alone.npz",
        "--engine",
        "onnx",
        with_parts=False,
    )
    assert alone.returncode == 0, alone.stderr
    assert (tmp_path / "alone.npz").read_bytes() == (tmp_path / "onnx.npz").read_bytes()

    refused = search_in(
        "predict",
        "bundle",
        "synthetic:24",
        "--out",
        "no.npz",
        "--engine",
        "torch",
        with_parts=False,
    )
    assert refused.returncode == 2
    assert (
        "must come from parts 1.2: install that, got nothing of that name; or label images without "
        "it" in refused.stderr
    )
    refused = search_in("evaluate", "bundle", "synthetic:40", with_parts=False)
    assert refused.returncode == 2
    assert "must come from parts 1.2: install that" in refused.stderr
    by_f2 = ("--study", "s", "--storage", database)
    wanted = (*by_f2, "--data", "synthetic:40", "--space", "tiny", "--trials", "2")
    assert search_in("init", *wanted, "--score", "f2").returncode == 0
    refused = search_in("worker", "--wait", "0s", *by_f2, with_parts=False)
    assert refused.returncode == 2
    assert "scores.f2: must come from parts 1.2: install that, got nothing" in refused.stderr
    other = search_in("init", *wanted)
    assert other.returncode == 2
    assert "exists with other settings: --score is f2 there, iou wanted; choose" in other.stderr
    for words in (("worker", "--wait", "0s"), ("export-best", "--out", "other")):
        refused = search_in(*words, *place, with_parts=False)
        assert refused.returncode == 2, words
        assert (
            "networks.plain: must come from parts 1.2: install that, got nothing of that name"
            in refused.stderr
        )
        assert "Traceback" not in refused.stderr
    looked = search_in("status", *place, with_parts=False)
    assert looked.returncode == 0, looked.stderr
    assert "validation mean f2 0." in looked.stdout
