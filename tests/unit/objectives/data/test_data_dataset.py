import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from objectives.data.dataset import (
    DataOptions,
    load_dataset,
    open_dataset,
    rare_frames,
    read_images,
    read_labelled,
)
from objectives.data.preparing.split import COMMON_TOLERANCE, TOLERANCE, split
from objectives.data.reading.frames import frame_hash
from objectives.data.reading.synthetic import ALIENS, generate, write_folder, write_npz
from objectives.errors import ProblemsError, WorldError

OPTIONS = DataOptions()


def test_prepared_frames_are_the_kept_ones(tmp_path: Path) -> None:
    dataset, terrain = open_dataset("synthetic:40", OPTIONS, tmp_path), generate(40)
    assert np.shape(dataset.images) == (39, 64, 128, 1)
    assert dataset.masks.dtype == np.uint8
    assert isinstance(dataset.images.values, np.memmap)
    assert not dataset.images[0].flags.writeable
    kept = [int(name) for name in dataset.names]
    assert terrain.reference not in kept
    assert np.array_equal(np.asarray(dataset.images)[..., 0], terrain.images[kept])
    assert np.array_equal(dataset.masks, terrain.masks[kept])
    assert dataset.frame_hashes[4] == frame_hash(terrain.images[kept[4]][:, :, None])
    assert len(dataset.dropped) == ALIENS + 1
    assert dataset.groups.dtype == np.int32


def test_spec_and_counts_are_of_the_training_part(tmp_path: Path) -> None:
    dataset = open_dataset("synthetic:40", OPTIONS, tmp_path)
    train = dataset.parts["train"]
    pixels = np.asarray(dataset.images[train]) / 255
    assert dataset.spec.mean[0] == pytest.approx(pixels.mean())
    assert dataset.spec.std[0] == pytest.approx(pixels.std())
    assert dataset.spec.scored == (1, 2, 3, 4)
    assert (
        dataset.pixel_counts.tolist()
        == np.bincount(np.ravel(dataset.masks[train]), minlength=5).tolist()
    )
    rare = rare_frames(dataset)
    assert rare.tolist() == [index for index in train if (dataset.masks[index] == 4).any()]


def test_opening_again_builds_nothing(tmp_path: Path) -> None:
    first = open_dataset("synthetic:40", OPTIONS, tmp_path)
    stamp = (first.directory / "index.json").stat().st_ino
    second = open_dataset("synthetic:40", OPTIONS, tmp_path)
    assert second.directory == first.directory
    assert (second.directory / "index.json").stat().st_ino == stamp
    assert second.fingerprint == first.fingerprint
    other = open_dataset("synthetic:40", replace(OPTIONS, seed=1), tmp_path)
    assert other.directory != first.directory
    assert other.fingerprint != first.fingerprint


def test_a_filter_makes_another_data_set(tmp_path: Path) -> None:
    whole = open_dataset("synthetic:40", OPTIONS, tmp_path)
    asked = replace(OPTIONS, max_deviation=1.5)
    fewer = open_dataset("synthetic:40", asked, tmp_path)
    assert fewer.directory != whole.directory
    assert fewer.fingerprint != whole.fingerprint
    assert set(fewer.names) < set(whole.names)
    assert len(fewer.names) + len(fewer.dropped) == len(whole.names) + len(whole.dropped)
    assert open_dataset("synthetic:40", asked, tmp_path).fingerprint == fewer.fingerprint


def test_a_changed_source_is_prepared_anew(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", 24)
    first = open_dataset(str(tmp_path / "data"), OPTIONS, tmp_path / "cache")
    cv2.imwrite(str(tmp_path / "data/images/00000.png"), np.full((64, 128), 3, np.uint8))
    second = open_dataset(str(tmp_path / "data"), OPTIONS, tmp_path / "cache")
    assert second.fingerprint != first.fingerprint


def test_another_score_is_other_data_and_the_usual_one_leaves_them_as_they_were(
    tmp_path: Path,
) -> None:
    usual = open_dataset("synthetic:40", OPTIONS, tmp_path)
    by_dice = open_dataset("synthetic:40", replace(OPTIONS, measure="dice"), tmp_path)
    assert (by_dice.spec.measure, usual.spec.measure) == ("dice", "iou")
    assert by_dice.fingerprint != usual.fingerprint
    assert by_dice.sealed == usual.sealed
    with pytest.raises(
        ProblemsError, match="score: must be one of iou, dice, precision, recall, or come from"
    ):
        open_dataset("synthetic:40", replace(OPTIONS, measure="f2"), tmp_path)


def test_classes_are_scored_by_label_or_name(tmp_path: Path) -> None:
    data = [
        open_dataset("synthetic:40", DataOptions(scored=scored), tmp_path)
        for scored in ((1, 3), ("soil", "sand"), ("sand", 1, "soil"))
    ]
    assert {each.spec.scored for each in data} == {(1, 3)}
    assert len({each.fingerprint for each in data}) == 1


def test_fingerprint_ignores_where_the_data_lie(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", 24)
    first = open_dataset(str(tmp_path / "data"), OPTIONS, tmp_path / "cache")
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere/images/00000.png", (1, 1))
    second = open_dataset(str(tmp_path / "elsewhere"), OPTIONS, tmp_path / "cache2")
    assert second.directory.name != first.directory.name
    assert second.fingerprint == first.fingerprint


def test_npz_and_generator_agree(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", 24)
    written = open_dataset(str(tmp_path / "a.npz"), OPTIONS, tmp_path / "cache")
    assert (
        written.fingerprint == open_dataset("synthetic:24", OPTIONS, tmp_path / "cache").fingerprint
    )


@pytest.mark.parametrize("file", ["index.json", "images.npy", "masks.npy"])
def test_a_damaged_copy_is_prepared_anew(tmp_path: Path, file: str) -> None:
    first = open_dataset("synthetic:24", OPTIONS, tmp_path)
    path = first.directory / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WorldError, match="no whole prepared data set"):
        load_dataset(first.directory)
    again = open_dataset("synthetic:24", OPTIONS, tmp_path)
    assert np.array_equal(
        again.images, generate(24).images[[int(name) for name in again.names]][..., None]
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_bad_data_leave_nothing_behind(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", 24)
    for path in (tmp_path / "data/masks").iterdir():
        cv2.imwrite(str(path), np.zeros((64, 100), np.uint8))
    with pytest.raises(ProblemsError, match="26 more places") as raised:
        open_dataset(str(tmp_path / "data"), OPTIONS, tmp_path / "cache")
    assert len(raised.value.problems) == 11
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] in ([], [".lock"])


def test_an_unwritable_cache_is_the_worlds_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(WorldError, match="cannot write the prepared data"):
        open_dataset("synthetic:24", OPTIONS, tmp_path / "cache")


def test_sixteen_bit_colour_of_mixed_sizes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for index in range(12):
        height = 20 + 4 * (index % 2)
        image = generator.integers(0, 65536, (height, 30, 3), np.uint16)
        tifffile.imwrite(tmp_path / f"data/images/{index}.tif", image, photometric="rgb")
        labels = np.where(generator.random((height, 30)) < 0.5, 255, 1).astype(np.uint8)
        labels[: height // 2] = 0
        cv2.imwrite(str(tmp_path / f"data/masks/{index}.png"), labels)
    (tmp_path / "data/classes.yaml").write_text("ignore: 255\nclasses: {0: sky, 1: ground}\n")
    dataset = open_dataset(
        str(tmp_path / "data"), replace(OPTIONS, size=(10, 15)), tmp_path / "cache"
    )
    assert np.shape(dataset.images) == (12, 10, 15, 3)
    assert dataset.images.dtype == np.uint16
    assert dataset.spec.max_value == 65535
    assert len(dataset.spec.mean) == 3
    assert dataset.spec.ignore_label == 2
    assert set(np.unique(dataset.masks)) == {0, 1, 2}
    original = tifffile.imread(tmp_path / "data/images/0.tif")
    assert np.abs(dataset.images[0] - original.reshape(10, 2, 15, 2, 3).mean((1, 3))).max() <= 0.5
    labelled = read_labelled(tmp_path / "data", dataset.spec)
    assert [mask.shape for mask in labelled.masks[:2]] == [(20, 30), (24, 30)]
    assert [frame_hash(image) for image in labelled.images] == list(dataset.frame_hashes)


def test_images_to_predict(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", 24)
    from_npz, generated = read_images(tmp_path / "a.npz"), read_images("synthetic:24")
    assert [name for name, _ in from_npz] == [str(index) for index in range(8)]
    assert all(
        np.array_equal(one[1], other[1]) for one, other in zip(from_npz, generated, strict=True)
    )
    write_folder(tmp_path / "data", 24)
    for folder in (tmp_path / "data", tmp_path / "data/images"):
        images = read_images(folder)
        assert len(images) == 36
        assert images[1][0] == "00001"
        assert images[-1][1].shape == (64, 128, 1)
    (tmp_path / "data/images/00003.png").write_bytes(b"broken")
    with pytest.raises(ProblemsError, match=r"images/00003\.png"):
        list(read_images(tmp_path / "data"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProblemsError, match="must hold PNG"):
        read_images(tmp_path / "empty")


def test_labelled_frames_must_fit_the_model(tmp_path: Path) -> None:
    spec = open_dataset("synthetic:24", OPTIONS, tmp_path / "cache").spec
    labelled = read_labelled("synthetic:24", spec)
    assert len(labelled.names) == len(labelled.images) == len(labelled.masks) == 36
    write_folder(tmp_path / "data", 24)
    (tmp_path / "data/classes.yaml").unlink()
    cv2.imwrite(str(tmp_path / "data/masks/00000.png"), np.full((64, 128), 5, np.uint8))
    cv2.imwrite(str(tmp_path / "data/images/00001.png"), np.zeros((64, 128, 3), np.uint8))
    with pytest.raises(ProblemsError) as raised:
        read_labelled(tmp_path / "data", spec)
    texts = [str(problem) for problem in raised.value.problems]
    assert texts == [
        "images/00001.png: the model takes 1 channels of 0..255, got 3 channels of 0..255",
        "masks: value 5: labels must be among the 5 classes, or `values:` of classes.yaml must lead "
        "to one, got 2.86% of all pixels, in 1 mask (of images/00000.png)",
    ]
    frames = np.ones((2, 2, 8, 8), np.uint8)
    # one label only: still a fine truth for a model of five
    np.savez(tmp_path / "few.npz", training_set=frames)
    assert read_labelled(tmp_path / "few.npz", spec).masks[0].max() == 1
    with pytest.raises(ProblemsError, match="the model's 2 classes"):
        read_labelled("synthetic:24", spec.model_copy(update={"class_names": ("a", "b")}))


def test_no_torch_is_imported() -> None:
    code = "import objectives.data.dataset, sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif("MARS_NPZ" not in os.environ, reason="MARS_NPZ does not name the shared npz")
@pytest.mark.parametrize("with_groups", [True, False])
def test_the_shared_npz(tmp_path: Path, with_groups: bool) -> None:
    path = Path(os.environ["MARS_NPZ"])
    if not with_groups:
        with np.load(path) as whole:
            np.savez(tmp_path / "a.npz", training_set=whole["training_set"])
        path = tmp_path / "a.npz"
    dataset = open_dataset(str(path), OPTIONS, tmp_path / "cache")
    assert len(dataset.names) == 2504
    assert len(dataset.dropped) == 111
    assert [warning.partition(":")[0] for warning in dataset.warnings] == (
        [] if with_groups else ["no groups are known"]
    )
    counts = {
        name: np.bincount(np.ravel(dataset.masks[indices]), minlength=5)
        for name, indices in dataset.parts.items()
    }
    for name, share in zip(("train", "validation", "test"), OPTIONS.shares, strict=True):
        indices = dataset.parts[name]
        assert len(indices) / 2504 == pytest.approx(share, abs=0.01)
        assert counts[name][4] / sum(counts.values())[4] == pytest.approx(share, rel=TOLERANCE)
        rocky = sum(bool((dataset.masks[index] == 4).any()) for index in indices)
        assert rocky / 239 == pytest.approx(share, rel=COMMON_TOLERANCE)
    groups = [set(dataset.groups[indices].tolist()) for indices in dataset.parts.values()]
    assert sum(map(len, groups)) == len(set(dataset.groups.tolist()))


def test_split_gives_every_part_every_class_even_among_many_groups() -> None:
    counts = np.zeros((5000, 3), np.int64)
    counts[:, 0] = 100
    counts[[7, 70, 700], 1] = 5
    counts[[8, 80, 800, 801], 2] = (900, 1, 1, 1)
    parts = split(np.arange(5000), counts, (0.8, 0.1, 0.1), 0)
    assert all((counts[indices].sum(axis=0) > 0).all() for indices in parts.values())


def test_index_is_plain_json(tmp_path: Path) -> None:
    dataset = open_dataset("synthetic:24", OPTIONS, tmp_path)
    index = json.loads((dataset.directory / "index.json").read_text())
    assert index["fingerprint"] == dataset.fingerprint
    assert sorted(path.name for path in dataset.directory.iterdir()) == [
        "class_pixels.npy",
        "images.npy",
        "index.json",
        "masks.npy",
    ]
