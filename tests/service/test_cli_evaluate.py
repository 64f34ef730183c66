"""``search evaluate`` as scripts and people call it, on a bundle without a study."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from objectives.bundle.bundle_folder import write_bundle
from objectives.bundle.provenance import PartScore
from objectives.config import Config, UNet
from objectives.data.dataset import Dataset
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import ProgramSettings
from search.study.looks import test_looks as looks_at_test
from search.study.stored import Study
from tests.support.bundles_made import origin

DATA = "synthetic:60"


def write(directory: Path, terrain: Dataset, study: str) -> Path:
    """A bundle of an untrained network, of a study with that name and other data."""
    config, spec = Config(model=UNet(depth=2, base_filters=4)), terrain.spec
    stated = origin(PartScore(frames=1, score=0.5, iou=(None, 0.5, 0.5, 0.5, 0.5)), study=study)
    torch.manual_seed(0)
    frames = {"validation": [terrain.frame_hashes[index] for index in terrain.parts["validation"]]}
    write_bundle(
        directory,
        build_segmenter(config, spec),
        ProgramSettings.single(config, spec),
        stated,
        frames=frames,
    )
    return directory


@pytest.fixture(scope="module")
def bundle(terrain: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("evaluate") / "model", terrain, "elsewhere")


@pytest.mark.long
def test_a_look_is_not_counted_by_a_study_that_only_has_the_same_name(
    search: Any, terrain: Dataset, small_study: Study, database: str, tmp_path: Path
) -> None:
    namesake = write(tmp_path / "model", terrain, small_study.spec.name)
    done = search(
        "evaluate", namesake, DATA, "--split", "test", "--storage", database, "--device", "cpu"
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert (
        "the study 'small' here has other data than the bundle's study of that name" in done.stderr
    )
    assert looks_at_test(small_study) == 0


def test_scripts_get_one_json_object_and_pictures_of_the_worst_frames(
    search: Any, bundle: Path, tmp_path: Path
) -> None:
    done = search(
        "evaluate", bundle, DATA, "--json", "--device", "cpu", "--pictures", tmp_path / "drawn"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {
        "score",
        "per_class",
        "frames",
        "own",
        "foreign",
        "other_parts",
        "spoilt",
        "split",
        "notes",
    } <= set(found)
    assert {
        "precision",
        "recall",
        "dice",
        "support",
        "confusion",
        "calibration_error",
        "worst_frames",
    } <= set(found)
    assert sum(found["support"].values()) == sum(map(sum, found["confusion"]["pixels"]))
    worst = found["worst_frames"]
    assert [frame["score"] for frame in worst] == sorted(frame["score"] for frame in worst)
    pictures = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert pictures == [
        "confusion.png",
        "reliability.png",
        *(f"worst-{rank}.png" for rank in range(1, len(worst) + 1)),
    ]
    for picture in (tmp_path / "drawn").iterdir():
        with Image.open(picture) as opened:
            opened.verify()
    assert "10 pictures written" in done.stderr


@pytest.mark.long
def test_people_get_a_table_and_a_bad_place_for_pictures_is_one_line(
    search: Any, bundle: Path, tmp_path: Path
) -> None:
    done = search("evaluate", bundle, DATA, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("mean IoU ")
    assert lines[1].split() == ["class", "IoU", "precision", "recall", "Dice", "pixels"]
    assert [line.split()[0] for line in lines[2:7]] == [
        "soil",
        "bedrock",
        "sand",
        "big_rock",
        "mean",
    ]
    (tmp_path / "mine.txt").write_text("mine")
    bad = search("evaluate", bundle, DATA, "--pictures", tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert len(bad.stderr.strip().splitlines()) == 1
    assert str(tmp_path) in bad.stderr
    assert "--pictures" in bad.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.long
def test_a_full_disk_leaves_the_scores_and_no_part_of_the_pictures(
    search: Any, bundle: Path, tmp_path: Path
) -> None:
    place = tmp_path / "drawn"
    done = search(
        "evaluate", bundle, DATA, "--json", "--device", "cpu", "--pictures", place, limit_bytes=4096
    )
    assert done.returncode == 1
    assert 0 <= json.loads(done.stdout)["score"] <= 1
    assert str(place) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
