"""A bundle's scores: what `search evaluate` says and draws of them, and what the bundle itself
tells of its parts.
"""

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.bundle.evaluate import WORST_FRAMES, BundleEvaluation, evaluate_bundle
from objectives.bundle.provenance import PartScore
from objectives.config import Config, UNet
from objectives.data.reading.frames import frame_hash
from objectives.errors import SearchError, UserError
from objectives.pictures.charts import confusion_picture, reliability_picture
from objectives.pictures.evaluation import draw_evaluation, refuse_pictures_folder, write_pictures
from objectives.pictures.panels import frame_panel
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import ProgramSettings
from objectives.scoring.calibration import Calibration
from objectives.scoring.evaluate import predict
from objectives.scoring.inspection import inspect_frames
from objectives.scoring.metrics import confusion_KK
from objectives.statistics.scores import class_scores
from search.cli.evaluation_text import evaluation_json, print_evaluation
from tests.support.bundles_made import origin, seal
from tests.support.frame_specs import frame_spec

CPU = torch.device("cpu")
CONFIG = Config(model=UNet(depth=2, base_filters=4))
SPEC = frame_spec(
    (16, 24),
    ("void", "soil", "rock", "sand"),
    colours=((0, 0, 0), (200, 10, 10), (10, 200, 10), (10, 10, 200)),
)
RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (14, 16, 24, 1)).astype(np.uint8)
MASKS = RNG.integers(0, 3, (14, 16, 24)).astype(np.uint8)  # sand occurs nowhere
MASKS[9] = 0
MASKS[9, 3, 3] = 1
TRAINED = (0, 1, 2)


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scores") / "model"
    torch.manual_seed(0)
    segmenter = build_segmenter(CONFIG, SPEC).eval()
    groups = np.arange(len(IMAGES))
    found = inspect_frames(segmenter, IMAGES, MASKS, SPEC, groups_N=groups, device=CPU)
    validation = PartScore.measured(
        found.evaluation.score, found.classes, found.calibration.error, len(IMAGES)
    )
    provenance = origin(validation, test=PartScore(frames=3, score=0.5, iou=(None, 0.5, 0.5, None)))
    frames = {"train": [frame_hash(IMAGES[index]) for index in TRAINED]}
    write_bundle(
        directory, segmenter, ProgramSettings.single(CONFIG, SPEC), provenance, frames=frames
    )
    return directory


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "frames.npz"
    np.savez(path, training_set=np.stack([IMAGES[..., 0], MASKS], axis=1))
    return path


@pytest.fixture(scope="module")
def found(bundle_dir: Path, source: Path) -> BundleEvaluation:
    return evaluate_bundle(bundle_dir, source)


def test_the_worst_frames_are_those_that_count_with_what_the_model_saw_and_said(
    found: BundleEvaluation, bundle_dir: Path
) -> None:
    labels = np.stack(predict(load_bundle(bundle_dir).segmenter, IMAGES, SPEC, device=CPU))
    scores = {}
    for index in range(len(TRAINED), len(IMAGES)):
        confusion = confusion_KK(labels[index], MASKS[index], 4, 0)
        there = [label for label in (1, 2) if (MASKS[index] == label).any()]
        scores[index] = float(class_scores(confusion).iou[there].mean())
    expected = sorted(scores, key=scores.__getitem__)[:WORST_FRAMES]
    assert [frame.index for frame in found.worst] == expected
    assert [frame.name for frame in found.worst] == list(map(str, expected))
    assert [frame.score for frame in found.worst] == pytest.approx(
        [scores[index] for index in expected]
    )
    for frame in found.worst:
        assert (frame.image_HWC == IMAGES[frame.index]).all()
        assert (frame.mask_HW == MASKS[frame.index]).all()
        assert (frame.labels_HW == labels[frame.index]).mean() > 0.99


def test_json_keeps_its_keys_and_adds_every_score(found: BundleEvaluation) -> None:
    said: Any = json.loads(json.dumps(evaluation_json(found), allow_nan=False))
    counts = {
        key: said[key] for key in ("frames", "own", "foreign", "other_parts", "spoilt", "split")
    }
    assert counts == {
        "frames": 11,
        "own": 0,
        "foreign": 11,
        "other_parts": 3,
        "spoilt": 0,
        "split": "validation",
    }
    assert said["notes"] == list(found.notes)
    confusion = np.array(said["confusion"]["pixels"])
    assert said["confusion"]["class_names"] == list(SPEC.class_names)
    assert confusion.sum() == (MASKS[3:] != 0).sum()
    expected = class_scores(confusion)
    assert said["score"] == pytest.approx(np.nanmean(expected.iou[1:]))
    for key, values in (
        ("per_class", expected.iou),
        ("precision", expected.precision),
        ("recall", expected.recall),
        ("dice", expected.dice),
    ):
        known = {
            name: value
            for name, value in zip(SPEC.class_names, values.tolist(), strict=True)
            if value == value
        }
        assert said[key] == pytest.approx(known)
    assert said["support"] == {
        "soil": (MASKS[3:] == 1).sum(),
        "rock": (MASKS[3:] == 2).sum(),
        "sand": 0,
    }
    assert said["mean"]["dice"] == pytest.approx(np.nanmean(expected.dice[1:]))
    assert said["mean"]["iou"] == said["score"]
    assert said["calibration_error"] == pytest.approx(found.inspection.calibration.error)
    assert sum(row["pixels"] for row in said["reliability"]) == confusion.sum()
    assert said["worst_frames"][0] == {
        "name": found.worst[0].name,
        "index": found.worst[0].index,
        "score": found.worst[0].score,
    }


def test_people_read_a_table(found: BundleEvaluation, capsys: pytest.CaptureFixture[str]) -> None:
    print_evaluation(found)
    lines = capsys.readouterr().out.splitlines()
    classes = found.inspection.classes
    assert lines[0] == f"mean IoU {found.evaluation.score:.4f} on 11 frames"
    assert lines[1].split() == ["class", "IoU", "precision", "recall", "Dice", "pixels"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:6]}
    assert list(rows) == ["soil", "rock", "sand", "mean"]
    figures = (classes.iou, classes.precision, classes.recall, classes.dice)
    assert rows["rock"] == [*(f"{values[2]:.4f}" for values in figures), str(classes.support[2])]
    assert rows["mean"][0] == f"{found.evaluation.score:.4f}"
    assert f"expected calibration error {found.inspection.calibration.error:.4f} (15 bins)" in lines
    assert any(f"{found.worst[0].name} ({found.worst[0].score:.4f})" in line for line in lines)
    assert lines[-2].startswith("note: 3 frames are of the model's own study")
    assert (
        lines[-1]
        == "note: the score is a mean over 2 of 3 scored classes: sand does not occur in these "
        "frames"
    )


def test_frames_without_any_label_are_refused_in_one_line(bundle_dir: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "empty.npz",
        training_set=np.stack([IMAGES[3:6, ..., 0], np.zeros_like(MASKS[3:6])], axis=1),
    )
    with pytest.raises(
        UserError, match=r"no pixel of the 3 frames of .*empty.npz that count has a scored label"
    ):
        evaluate_bundle(bundle_dir, tmp_path / "empty.npz")


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def has_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((pixels == colour).all(axis=-1).any())


def test_pictures_go_to_a_new_folder(found: BundleEvaluation, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "pictures"
    refuse_pictures_folder(folder)
    assert not folder.parent.exists()
    assert write_pictures(found, folder) == WORST_FRAMES + 2
    names = [f"worst-{rank}.png" for rank in range(1, WORST_FRAMES + 1)]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*names, "confusion.png", "reliability.png"]
    )
    assert [path.name for path in folder.parent.iterdir()] == ["pictures"]
    drawn = pixels_of((folder / "worst-8.png").read_bytes())
    assert drawn.shape[1] > 2 * drawn.shape[0]  # side by side
    for colour in ((200, 10, 10), (10, 200, 10), (214, 39, 40), (200, 225, 200), (60, 60, 60)):
        assert has_colour(drawn, colour)


def test_places_that_hold_something_are_refused_and_left(
    found: BundleEvaluation, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    places = {
        "file": "is a file",
        "full": "is not empty",
        "file/below": "is no folder",
        "": "not empty",
        "x" * 300: "too long",
    }
    for folder, said in places.items():
        with pytest.raises(SearchError, match=said) as raised:
            refuse_pictures_folder(tmp_path / folder)
        assert "--pictures" in str(raised.value)
        assert "\n" not in str(raised.value)
    refuse_pictures_folder(tmp_path / "empty")
    with pytest.raises(SearchError, match="cannot write"):
        write_pictures(found, tmp_path / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]
    write_pictures(found, tmp_path / "empty")
    assert (tmp_path / "empty" / "confusion.png").exists()


def test_nothing_is_half_written_when_drawing_fails(
    found: BundleEvaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, content: bytes) -> int:
        assert len(list(path.parent.iterdir())) < 3
        path.open("wb").close()
        if path.name == "worst-3.png":
            raise OSError(28, "No space left on device")
        return 0

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(SearchError, match="No space left on device"):
        write_pictures(found, tmp_path / "pictures")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint16), (7, np.uint8)])
def test_a_frame_of_any_kind_is_drawn_under_any_name(channels: int, dtype: type) -> None:
    image = RNG.integers(0, np.iinfo(dtype).max, (16, 24, channels)).astype(dtype)
    mask = np.tile(np.array([1, 2], np.uint8), (16, 12))
    drawn = pixels_of(
        frame_panel(image, mask, np.ones_like(mask), SPEC, "a $name_{ with \\signs$^: 0.1")
    )
    assert has_colour(drawn, (214, 39, 40))
    assert has_colour(drawn, (10, 200, 10))


def test_diagrams_are_drawn_with_and_without_pixels_and_for_many_classes() -> None:
    right = Calibration.of(np.array([0.4, 0.9, 0.95]), np.array([False, True, True]))
    assert (
        pixels_of(reliability_picture(right))
        != pixels_of(reliability_picture(Calibration.nothing()))
    ).any()
    many = SPEC.model_copy(
        update={
            "class_names": tuple(f"class {label}" for label in range(61)),
            "colours": ((1, 2, 3),) * 61,
            "scored": tuple(range(61)),
            "ignore_label": None,
        }
    )
    picture = pixels_of(confusion_picture(np.eye(61, dtype=np.int64), many))
    assert 2000 < max(picture.shape) < 4000


def test_the_bundle_tells_every_score_of_the_parts_that_were_measured(bundle_dir: Path) -> None:
    metrics = json.loads((bundle_dir / "metrics.json").read_text())
    validation, sealed = metrics["validation"], metrics["test"]
    labels = np.stack(predict(load_bundle(bundle_dir).segmenter, IMAGES, SPEC, device=CPU))
    expected = class_scores(confusion_KK(labels, MASKS, 4, 0))
    for name in ("iou", "precision", "recall", "dice"):
        values = getattr(expected, name).tolist()
        assert validation[name] == pytest.approx(
            [value if value == value else None for value in values]
        )
    assert validation["support"] == [0, int((MASKS == 1).sum()), int((MASKS == 2).sum()), 0]
    assert 0 < validation["calibration_error"] < 1
    assert (sealed["precision"], sealed["support"], sealed["calibration_error"]) == ([], [], None)
    card = (bundle_dir / "README.md").read_text()
    row = " | ".join(
        f"{getattr(expected, name)[2]:.4f}" for name in ("precision", "recall", "dice")
    )
    assert f"| 2 rock | {row} | {expected.support[2]} |" in card
    assert (
        f"Expected calibration error on the validation part: {validation['calibration_error']:.4f} "
        f"(15 bins)" in card
    )
    assert "class, test part" not in card  # it was not measured
    assert "No pixel of the validation part is labelled 3 sand" in card
    assert "No pixel of the test part" not in card  # they were not counted


def test_bundles_written_before_there_were_more_scores_still_load(
    bundle_dir: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(bundle_dir, tmp_path / "old"))
    metrics = json.loads((old / "metrics.json").read_text())
    for part in ("validation", "test"):
        metrics[part] = {name: metrics[part][name] for name in ("frames", "score", "iou")}
    (old / "metrics.json").write_text(json.dumps(metrics))
    seal(old)
    loaded = load_bundle(old).provenance
    assert loaded.validation.iou == load_bundle(bundle_dir).provenance.validation.iou
    assert (loaded.validation.precision, loaded.validation.calibration_error) == ((), None)


def test_scores_of_other_classes_are_refused_in_one_line(bundle_dir: Path, tmp_path: Path) -> None:
    wrong = Path(shutil.copytree(bundle_dir, tmp_path / "wrong"))
    metrics = json.loads((wrong / "metrics.json").read_text())
    metrics["validation"]["recall"] = [0.5]
    (wrong / "metrics.json").write_text(json.dumps(metrics))
    seal(wrong)
    with pytest.raises(UserError, match="another version") as raised:
        load_bundle(wrong)
    assert "\n" not in str(raised.value)
    assert re.search(r"must have 4 values", str(raised.value))
    metrics["validation"]["recall"] = []
    (wrong / "metrics.json").write_text(json.dumps(metrics))
    seal(wrong)
    with pytest.raises(UserError, match="must have 4 values"):
        load_bundle(wrong)


def test_drawing_is_lazy_so_that_one_picture_at_a_time_is_held(found: BundleEvaluation) -> None:
    drawn = draw_evaluation(found)
    name, png = next(drawn)
    assert name == "worst-1.png"
    assert png.startswith(b"\x89PNG")
