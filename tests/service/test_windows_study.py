"""A study of frames of several sizes, from the command line: trained on crops, scored in windows, its bundle
checked, its ensemble chosen, and what the bundle says the same by every way.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from search.cli.app import app
from search.export.best import ExportRequest, export_best
from search.export.ensemble_choice import Listed
from search.place import open_place
from search.study.stored import open_study

pytestmark = pytest.mark.long

SIZES = ((70, 52), (40, 96), (33, 33), (120, 48))
TINY = (
    "train.epochs=2",
    "train.crop={choice: [none, 16x24]}",
    "train.crop_scale={float: [1.0, 1.5]}",
    "train.crop_balance={float: [0.0, 0.5]}",
    "pruning={kind: none}",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright discs on dark ground, in frames of four sizes; some have no disc."""
    root = tmp_path_factory.mktemp("windows") / "frames"
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(28):
        height, width = SIZES[number % 4]
        mask = np.zeros((height, width), np.uint8)
        for _ in range(number % 3 * 2):
            centre = int(rng.integers(width)), int(rng.integers(height))
            cv2.circle(mask, centre, int(rng.integers(4, 9)), 1, -1)
        image = rng.normal(60, 15, mask.shape) + 120 * mask
        cv2.imwrite(str(root / "images" / f"{number:02}.png"), np.clip(image, 0, 255).astype("u1"))
        cv2.imwrite(str(root / "masks" / f"{number:02}.png"), mask)
    (root / "classes.yaml").write_text("classes: {0: ground, 1: disc}\nignore: null\n")
    return root


@pytest.fixture(scope="module")
def home(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a study of three trials that has run."""
    home = tmp_path_factory.mktemp("windows-home")
    sets = [word for each in TINY for word in ("--set", each)]
    asked = ["--study", "discs", "--data", str(source), "--space", "tiny", "--trials", "3"]
    windows = ["--window", "32x48", "--overlap", "0.5"]
    ran = CliRunner().invoke(
        app, ["run", *asked, *windows, *sets, "--home", str(home), "--device", "cpu"]
    )
    assert ran.exit_code == 0, ran.output
    assert "28 frames of 33x33 to 120x48, seen in windows of 32x48" in ran.output
    return home


def done(*words: object) -> str:
    ran = CliRunner().invoke(app, list(map(str, words)))
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_its_bundle_says_the_same_by_every_way(source: Path, home: Path, tmp_path: Path) -> None:
    study = ("--study", "discs", "--home", home)
    bundle = tmp_path / "bundle"
    assert "checked after writing" in done("export-best", *study, "--out", bundle)
    metrics = json.loads((bundle / "metrics.json").read_text())
    spec = json.loads((bundle / "config.json").read_text())["spec"]
    assert (spec["height"], spec["width"], spec["overlap"]) == (32, 48, 0.5)
    assert "windows of 32 x 48" in (bundle / "README.md").read_text()
    again = json.loads(done("evaluate", bundle, source, "--json"))
    assert again["score"] == pytest.approx(metrics["validation"]["score"], abs=1e-6)
    for engine in ("torch", "onnx"):
        done("predict", bundle, source, "--out", tmp_path / engine, "--engine", engine)
    for path in sorted((tmp_path / "torch").glob("*.png")):
        ours, theirs = (
            cv2.imread(str(tmp_path / engine / path.name), cv2.IMREAD_UNCHANGED)
            for engine in ("torch", "onnx")
        )
        assert ours.shape == SIZES[int(path.stem) % 4]
        assert (ours != theirs).mean() < 1e-3
    done("report", *study, "--out", tmp_path / "report.html")
    assert "train.crop" in (tmp_path / "report.html").read_text()


def test_trials_with_other_crops_become_one_ensemble(home: Path, tmp_path: Path) -> None:
    with open_place("", "", home) as place:
        study = open_study(place.storage, "discs")
        asked = ExportRequest(ensemble=Listed(("0", "1", "2"), anyway=True), device="cpu")
        provenance = export_best(study, place, tmp_path / "three", asked)
        study.close()
    assert len(provenance.members) == 3
    settings = json.loads((tmp_path / "three" / "config.json").read_text())
    assert len(settings["members"]) == 3


def test_frames_are_drawn_before_and_after_augmentation(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "preview.png"
    done("data", "preview", source, "--window", "32x48", "--out", out, "--home", tmp_path / "home")
    drawn = cv2.imread(str(out))
    assert drawn.size > 0
