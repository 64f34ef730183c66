"""Predictions of a bundle into every kind of file, and its scores on labelled frames."""

import csv
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from typer.testing import CliRunner

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.bundle.evaluate import evaluate_bundle
from objectives.bundle.provenance import PartScore
from objectives.config import Config, UNet
from objectives.data.predicting import read_images
from objectives.data.reading.frames import frame_hash
from objectives.errors import ProblemsError, SearchError, UserError
from objectives.outputs.atomic import directory_at_once
from objectives.predict.engines import open_engine
from objectives.predict.masks import predict, predict_frames
from objectives.predict.predicted import PredictedImage
from objectives.predict.prediction_files import write_csv
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import ProgramSettings
from objectives.scoring.evaluate import evaluate
from objectives.scoring.evaluate import predict as predict_labels_of
from search.cli.app import app
from tests.support import small_bundles
from tests.support.bundles_made import origin, seal

CPU = torch.device("cpu")
SPEC = small_bundles.SPEC.model_copy(update={"scored": (1, 2, 3, 4)})
RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (20, 16, 24, 1)).astype(np.uint8)
MASKS = RNG.integers(0, 5, (20, 16, 24)).astype(np.uint8)
# 17..19 are foreign
PARTS = {"train": range(10), "validation": range(10, 14), "test": range(14, 17)}


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("predict") / "model"
    config = Config(model=UNet(depth=2, base_filters=4))
    torch.manual_seed(0)
    provenance = origin(PartScore(frames=4, score=0.5, iou=(None, 0.5, 0.5, 0.5, 0.5)))
    frames = {
        part: [frame_hash(IMAGES[index]) for index in indices] for part, indices in PARTS.items()
    }
    write_bundle(
        directory,
        build_segmenter(config, SPEC),
        ProgramSettings.single(config, SPEC),
        provenance,
        frames=frames,
    )
    return directory


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "frames.npz"
    labelled = np.stack([IMAGES[..., 0], MASKS], axis=1)
    np.savez(path, test_set=IMAGES[..., 0], training_set=labelled)
    return path


@pytest.fixture
def expected(bundle_dir: Path) -> np.ndarray:
    return np.stack(predict_labels_of(load_bundle(bundle_dir).segmenter, IMAGES, SPEC, device=CPU))


def test_an_npz_becomes_an_npz_of_masks(
    bundle_dir: Path, npz: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    assert predict(bundle_dir, npz, tmp_path / "new" / "masks.npz") == 20
    with np.load(tmp_path / "new" / "masks.npz", allow_pickle=False) as found:
        assert (found["masks"].dtype, found["masks"].shape) == (np.uint8, (20, 16, 24))
        assert (found["masks"] == expected).all()
    assert len(np.unique(expected)) > 1
    assert 0 not in expected


def test_a_csv_has_kaggles_layout(
    bundle_dir: Path, npz: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    predict(bundle_dir, npz, tmp_path / "masks.csv")
    with (tmp_path / "masks.csv").open(newline="") as opened:
        header, *rows = csv.reader(opened)
    assert header == ["id", *map(str, range(16 * 24))]
    assert [row[0] for row in rows] == [str(index) for index in range(20)]
    assert (np.array(rows, dtype=int)[:, 1:].reshape(20, 16, 24) == expected).all()


def image_of(name: str, labels: np.ndarray) -> PredictedImage:
    return PredictedImage(name, *labels.shape, ("labels",), (), iter([{"labels": labels}]))


def test_a_csv_writes_labels_of_any_number_of_digits_and_many_frames_fast(tmp_path: Path) -> None:
    masks = np.arange(256, dtype=np.uint8).reshape(1, 8, 32)
    write_csv([image_of("a", masks[0])], tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text().splitlines()[1] == ",".join(
        ["0", *map(str, range(256))]
    )
    ones = np.ones((64, 128), np.uint8)
    start = time.process_time()
    assert write_csv((image_of("a", ones) for _ in range(1000)), tmp_path / "many.csv") == 1000
    assert time.process_time() - start < 2.0  # 10,000 frames within 20 s


def test_a_folder_of_one_size_goes_into_an_npz_with_names(
    bundle_dir: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    save_images(tmp_path / "in", {"b": IMAGES[1], "a": IMAGES[0]})
    predict(bundle_dir, tmp_path / "in", tmp_path / "masks.npz")
    with np.load(tmp_path / "masks.npz") as found:
        assert found["names"].tolist() == ["a", "b"]
        assert (found["masks"] == expected[:2]).all()


def save_images(folder: Path, images: dict[str, np.ndarray]) -> None:
    for name, image_HWC in images.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC).save(path)


def test_images_of_several_sizes_come_back_as_pngs_of_their_own(
    bundle_dir: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    big = np.repeat(np.repeat(IMAGES[0], 3, axis=0), 3, axis=1)
    save_images(tmp_path / "in", {"a": IMAGES[0], "sub/b": big, "c": IMAGES[2]})
    assert predict(bundle_dir, tmp_path / "in", tmp_path / "out") == 3
    found = {
        str(path.relative_to(tmp_path / "out")): np.asarray(Image.open(path))
        for path in (tmp_path / "out").rglob("*.png")
    }
    assert {name: mask.shape for name, mask in found.items()} == {
        "a.png": (16, 24),
        "c.png": (16, 24),
        "sub/b.png": (48, 72),
    }
    assert (found["a.png"] == expected[0]).all()
    # the same frame, three times as large
    assert (found["sub/b.png"][1::3, 1::3] == expected[0]).mean() > 0.95


def test_one_image_is_predicted_as_in_its_folder(bundle_dir: Path, tmp_path: Path) -> None:
    pixels_HW = np.arange(64 * 128).reshape(64, 128) % 251
    (tmp_path / "new").mkdir()
    Image.fromarray(pixels_HW.astype(np.uint8)).save(tmp_path / "new" / "a.b.png")
    assert predict(bundle_dir, tmp_path / "new" / "a.b.png", tmp_path / "one") == 1
    assert predict(bundle_dir, tmp_path / "new", tmp_path / "all") == 1
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["a.b.png"]
    assert (tmp_path / "one" / "a.b.png").read_bytes() == (
        tmp_path / "all" / "a.b.png"
    ).read_bytes()
    (tmp_path / "new" / "a.b.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a\.b\.png"):
        predict(bundle_dir, tmp_path / "new" / "a.b.png", tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_files_that_are_numbered_come_in_their_order(
    bundle_dir: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    save_images(tmp_path / "in", {str(index): image for index, image in enumerate(IMAGES)})
    predict(bundle_dir, tmp_path / "in", tmp_path / "masks.csv")
    with (tmp_path / "masks.csv").open(newline="") as opened:
        rows = list(csv.reader(opened))[1:]
    assert (np.array(rows, dtype=int)[:, 1:].reshape(20, 16, 24) == expected).all()
    save_images(
        tmp_path / "odd",
        dict.fromkeys(["b10", "b9", "a", "\N{SUPERSCRIPT TWO}", "b9x", "07"], IMAGES[0]),
    )
    assert [name for name, _ in read_images(tmp_path / "odd")] == [
        "07",
        "a",
        "b9",
        "b9x",
        "b10",
        "\N{SUPERSCRIPT TWO}",
    ]


def test_labels_at_an_images_own_size_are_those_of_logits_enlarged(
    bundle_dir: Path, tmp_path: Path
) -> None:
    large_HWC = cv2.resize(IMAGES[3, ..., 0], (67, 41))[..., None]
    save_images(tmp_path / "in", {"a": large_HWC})
    predict(bundle_dir, tmp_path / "in", tmp_path / "out")
    small_1CHW = torch.from_numpy(
        cv2.resize(large_HWC, (24, 16), interpolation=cv2.INTER_AREA)
    ).float()[None, None]
    with torch.inference_mode():
        logits_1KHW = functional.interpolate(
            load_bundle(bundle_dir).segmenter(small_1CHW), (41, 67), mode="bilinear"
        )
    wanted = np.array(SPEC.scored)[logits_1KHW[0, list(SPEC.scored)].argmax(0).numpy()]
    assert len(np.unique(wanted)) > 1
    assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) == wanted).all()


def test_large_images_are_read_a_few_at_a_time(bundle_dir: Path) -> None:
    """As many as a bundle's own small ones at once would not fit into memory."""
    engine, read = open_engine(bundle_dir, "torch"), []

    def frames() -> Iterator[tuple[str, np.ndarray]]:
        for index in range(6):
            read.append(index)
            yield str(index), np.zeros((400, 600, 1), np.uint8)

    next(predict_frames(engine, frames()))
    assert len(read) < 6


def test_images_of_several_sizes_do_not_fit_one_file(bundle_dir: Path, tmp_path: Path) -> None:
    save_images(tmp_path / "in", {"a": IMAGES[0], "b": IMAGES[0][:12]})
    for name in ("masks.npz", "masks.csv"):
        with pytest.raises(
            UserError, match=r"16x24 and 12x24 \(b\) do not fit into .*give a folder"
        ):
            predict(bundle_dir, tmp_path / "in", tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_frames_that_do_not_fit_the_bundle_are_refused(bundle_dir: Path, tmp_path: Path) -> None:
    save_images(tmp_path / "rgb", {"a": np.repeat(IMAGES[0], 3, axis=2)})
    with pytest.raises(
        UserError,
        match=r"frame a: the bundle takes 1 channel\(s\) of 0..255: .*, got 3 channel\(s\)",
    ):
        predict(bundle_dir, tmp_path / "rgb", tmp_path / "out")
    np.savez(tmp_path / "deep.npz", test_set=np.zeros((2, 16, 24), np.uint16))
    with pytest.raises(UserError, match=r"the bundle takes .*, got 1 channel\(s\) of 0..65535"):
        predict(bundle_dir, tmp_path / "deep.npz", tmp_path / "masks.npz")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "masks.npz").exists()


@pytest.fixture
def some_bad(tmp_path: Path) -> Path:
    """A folder of five images: one is cut off, one empty, one coloured."""
    folder = tmp_path / "in"
    save_images(
        folder,
        {
            "a": IMAGES[0],
            "sub/cut": IMAGES[1],
            "c": IMAGES[2],
            "colours": np.repeat(IMAGES[0], 3, axis=2),
        },
    )
    whole = (folder / "sub" / "cut.png").read_bytes()
    (folder / "sub" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    return folder


def never(*_: object) -> np.ndarray:
    raise AssertionError("it computes")


def test_every_bad_image_is_named_before_anything_is_computed(
    bundle_dir: Path, some_bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("objectives.predict.torch_engine.TorchEngine.answers", never)
    for out in ("out", "masks.npz", "masks.csv"):
        with pytest.raises(ProblemsError) as caught:
            predict(bundle_dir, some_bad, tmp_path / out)
        assert sorted(problem.where for problem in caught.value.problems) == [
            "empty.png",
            "frame colours",
            "sub/cut.png",
        ]
        assert "--skip-bad predicts the rest" in str(caught.value)
        assert not (tmp_path / out).exists()
    save_images(tmp_path / "sizes", {"a": IMAGES[0], "b": IMAGES[0][:12]})
    with pytest.raises(UserError, match="do not fit into"):
        predict(bundle_dir, tmp_path / "sizes", tmp_path / "masks.npz")


def test_bad_images_are_left_out_when_asked(
    bundle_dir: Path, some_bad: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    words = ["predict", str(bundle_dir), str(some_bad), "--skip-bad", "--out"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "2 masks written" in done.stdout
    assert sorted(line.split(": ")[1] for line in done.stderr.splitlines()) == [
        "empty.png",
        "frame colours",
        "sub/cut.png",
    ]
    assert (np.asarray(Image.open(tmp_path / "out" / "c.png")) == expected[2]).all()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert CliRunner().invoke(app, [*words, str(tmp_path / "masks.npz")]).exit_code == 1
    with np.load(tmp_path / "masks.npz") as found:
        assert found["names"].tolist() == ["a", "c"]
    with pytest.raises(UserError, match=r"masks\.csv numbers its frames, so none can be left out"):
        predict(bundle_dir, some_bad, tmp_path / "masks.csv", on_bad=lambda *_: None)
    np.savez(tmp_path / "deep.npz", test_set=np.zeros((2, 16, 24), np.uint16))
    with pytest.raises(
        UserError, match=r"no frame of .*deep\.npz can be predicted: frame 0: the bundle takes"
    ):
        predict(bundle_dir, tmp_path / "deep.npz", tmp_path / "none", on_bad=lambda *_: None)


def test_a_place_that_cannot_be_replaced_is_refused(
    bundle_dir: Path, npz: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    (tmp_path / "dir.csv").mkdir()
    for name, message in (
        ("full", "not empty"),
        ("dir.csv", "is a folder"),
        ("masks.tiff", r"got masks\.tiff"),
    ):
        with pytest.raises(UserError, match=message):
            predict(bundle_dir, npz, tmp_path / name)
    with pytest.raises(SearchError, match="nothing"):
        predict(bundle_dir, tmp_path / "nothing", tmp_path / "masks.npz")


def test_a_mount_point_is_filled_file_by_file_and_the_last_one_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    (tmp_path / "B").write_text("old")
    with directory_at_once(tmp_path, last="B") as draft:
        (draft / "B").write_text("new")
        (draft / "C").write_text("new")
        assert (tmp_path / "B").read_text() == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"B": "new", "C": "new"}


def direct_score(bundle_dir: Path, indices: list[int]) -> float:
    return evaluate(
        load_bundle(bundle_dir).segmenter, IMAGES[indices], MASKS[indices], SPEC, device=CPU
    ).score


def test_of_the_own_study_only_validation_counts(bundle_dir: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", training_set=np.stack([IMAGES[:17, ..., 0], MASKS[:17]], axis=1))
    found = evaluate_bundle(bundle_dir, tmp_path / "own.npz")
    assert (found.own, found.foreign, found.other_parts, found.spoilt) == (4, 0, 13, 0)
    assert found.evaluation.score == direct_score(bundle_dir, [10, 11, 12, 13])
    assert not found.looked_at_test
    assert (
        "17 frames are of the model's own study terrain: only the 4 of its validation part count"
        in found.notes
    )


def test_a_look_at_the_test_part_is_said(bundle_dir: Path, npz: Path) -> None:
    found = evaluate_bundle(bundle_dir, npz, split="test")
    assert (found.own, found.foreign, found.looked_at_test) == (3, 3, True)
    assert found.evaluation.score == direct_score(bundle_dir, [14, 15, 16, 17, 18, 19])
    assert any("sealed test" in note for note in found.notes)


def test_foreign_frames_all_count_but_spoilt_ones(bundle_dir: Path, tmp_path: Path) -> None:
    aliens = np.stack([np.roll(IMAGES[0, ..., 0], shift, axis=1) for shift in range(1, 12)])
    images = np.concatenate([IMAGES[17:, ..., 0], aliens])
    masks = np.concatenate([MASKS[17:], np.repeat(MASKS[:1], 11, axis=0)])
    np.savez(tmp_path / "new.npz", training_set=np.stack([images, masks], axis=1))
    found = evaluate_bundle(bundle_dir, tmp_path / "new.npz", split="test")
    assert (found.own, found.foreign, found.spoilt, found.looked_at_test) == (0, 3, 11, False)
    assert found.evaluation.score == direct_score(bundle_dir, [17, 18, 19])


def test_training_frames_alone_give_no_score(bundle_dir: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "train.npz", training_set=np.stack([IMAGES[:10, ..., 0], MASKS[:10]], axis=1)
    )
    with pytest.raises(UserError, match=r"no frame of .* counts"):
        evaluate_bundle(bundle_dir, tmp_path / "train.npz")


def test_new_frames_that_the_studys_rules_drop_are_said_to_be_so(
    bundle_dir: Path, tmp_path: Path
) -> None:
    # one camera, one mask
    fixed = np.stack([np.roll(IMAGES[0, ..., 0], shift, axis=1) for shift in range(1, 13)])
    np.savez(
        tmp_path / "camera.npz",
        training_set=np.stack([fixed, np.repeat(MASKS[:1], 12, axis=0)], axis=1),
    )
    with pytest.raises(
        UserError, match=r"counts: 12 are new, but .* drop as spoilt \(--min-identical 10"
    ):
        evaluate_bundle(bundle_dir, tmp_path / "camera.npz")


def test_a_frame_that_training_has_seen_counts_nowhere_else(
    bundle_dir: Path, tmp_path: Path
) -> None:
    """Equal frames may lie in several parts, where their groups differ."""
    copy = Path(shutil.copytree(bundle_dir, tmp_path / "copy"))
    frames = json.loads((copy / "frames.json").read_text())
    (copy / "frames.json").write_text(
        json.dumps({**frames, "validation": [*frames["validation"], frames["train"][0]]})
    )
    seal(copy)
    np.savez(tmp_path / "own.npz", training_set=np.stack([IMAGES[:17, ..., 0], MASKS[:17]], axis=1))
    assert evaluate_bundle(copy, tmp_path / "own.npz").own == 4


def test_labelled_frames_of_another_size_are_resized_as_in_the_study(
    bundle_dir: Path, tmp_path: Path
) -> None:
    images, masks = (
        np.repeat(np.repeat(array, 2, axis=1), 2, axis=2)
        for array in (IMAGES[17:, ..., 0], MASKS[17:])
    )
    np.savez(tmp_path / "large.npz", training_set=np.stack([images, masks], axis=1))
    assert evaluate_bundle(bundle_dir, tmp_path / "large.npz").evaluation.score == direct_score(
        bundle_dir, [17, 18, 19]
    )


def test_a_csv_is_written_while_frames_are_read(tmp_path: Path) -> None:
    """So ten thousand frames need no more memory than a batch."""
    taken = []

    def masks() -> Iterator[PredictedImage]:
        for index in range(5):
            written = sum(path.stat().st_size for path in tmp_path.iterdir())
            taken.append(written)
            yield image_of(str(index), np.ones((300, 300), np.uint8))

    write_csv(masks(), tmp_path / "masks.csv")
    assert taken[-1] > taken[1]


def test_frames_that_the_study_left_out_by_name_are_no_new_ones(
    bundle_dir: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundle_dir, tmp_path / "copy"))
    frames = json.loads((copy / "frames.json").read_text())
    (copy / "frames.json").write_text(json.dumps({**frames, "left out": [frame_hash(IMAGES[17])]}))
    seal(copy)
    np.savez(tmp_path / "new.npz", training_set=np.stack([IMAGES[17:, ..., 0], MASKS[17:]], axis=1))
    found = evaluate_bundle(copy, tmp_path / "new.npz")
    assert (found.own, found.foreign, found.other_parts) == (0, 2, 1)


def test_files_that_are_no_images_are_named_and_left_out_as_damaged_ones_are(
    bundle_dir: Path, tmp_path: Path
) -> None:
    save_images(tmp_path / "in", {"a": IMAGES[0], "b": IMAGES[1]})
    (tmp_path / "in" / "b.png").write_bytes(b"damaged")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "noext").write_bytes((tmp_path / "in" / "a.png").read_bytes())
    with pytest.raises(UserError, match="--skip-bad predicts the rest") as said:
        predict(bundle_dir, tmp_path / "in", tmp_path / "out")
    for name in ("b.png", "gone.png", "noext"):
        assert name in str(said.value)
    assert not (tmp_path / "out").exists()
    (tmp_path / "masks.v2").mkdir()  # a folder, though its name has a dot
    ran = CliRunner().invoke(
        app,
        [
            "predict",
            str(bundle_dir),
            str(tmp_path / "in"),
            "--skip-bad",
            "--out",
            str(tmp_path / "masks.v2"),
        ],
    )
    assert ran.exit_code == 1
    assert ran.output.count("left out: ") == 3
    assert [path.name for path in (tmp_path / "masks.v2").iterdir()] == ["a.png"]


def test_what_is_not_there_and_what_has_no_rest_is_said_so(
    bundle_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="a folder of images, an image file, or the word synthetic"):
        predict(bundle_dir, tmp_path / "gone.png", tmp_path / "out")
    (tmp_path / "a.png").write_bytes(b"damaged")
    with pytest.raises(UserError) as said:
        predict(bundle_dir, tmp_path / "a.png", tmp_path / "out")
    assert "--skip-bad" not in str(said.value)
    with pytest.raises(UserError, match=r"one with a dot in its name must be there.*got D\.PNG"):
        predict(bundle_dir, tmp_path / "a.png", tmp_path / "D.PNG")
