"""Pixels without data (TIFF tag 42113): the value is of what is stored, whatever that means."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from objectives.data.dataset import Dataset, open_dataset
from objectives.data.options import DataOptions
from objectives.data.preparing.check import check

COUNT, SIDE = 12, 8
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 255, (COUNT, SIDE, SIDE), np.uint8)
LABELS = RNG.integers(0, 2, (COUNT, SIDE, SIDE), np.uint8)
IGNORED = "no_data: ignored\n"


def tiff(path: Path, array: np.ndarray, no_data: int | None, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = str(no_data)
    tags = [] if no_data is None else [(42113, 2, len(text), text, True)]
    tifffile.imwrite(path, array, extratags=tags, **options)


def prepared(root: Path, **options: object) -> Dataset:
    return open_dataset(str(root), DataOptions(**options), root / "cache")


def images(root: Path) -> None:
    for number, image in enumerate(IMAGES):
        tiff(root / f"img/{number:02}.tif", image, None)


def test_of_several_mask_files_each_has_its_own(tmp_path: Path) -> None:
    """Two files a frame; 255 is a class's pixel in one, and no data where the file says so."""
    images(tmp_path)
    empty = np.zeros((COUNT, SIDE, SIDE), bool)
    empty[:, :2] = True
    for number, labels in enumerate(LABELS):
        first = np.where(empty[number], 9, labels).astype(np.uint8)
        tiff(tmp_path / f"m/{number:02}_road.tif", first, 9)
        tiff(tmp_path / f"m/{number:02}_tree.tif", (1 - labels) * 255, None)
    layout = "images: img/{stem}.tif\nmasks: m/{stem}_{class}.tif\n"
    (tmp_path / "classes.yaml").write_text("classes: {0: rest, 1: road, 2: tree}\nignore: 255\n")
    (tmp_path / "data.yaml").write_text(layout + IGNORED)
    data = prepared(tmp_path, scored=(1, 2))
    expected = np.where(empty, data.spec.ignore_label, 2 - LABELS)
    np.testing.assert_array_equal(np.stack(list(data.masks)), expected)


def test_a_value_that_shares_its_label_with_others_ignores_itself_alone(tmp_path: Path) -> None:
    images(tmp_path)
    stored = np.where(LABELS == 1, 9, 7).astype(np.uint8)
    stored[:, 0] = 8
    for number, values in enumerate(stored):
        tiff(tmp_path / f"m/{number:02}.tif", values, 8)
    layout = "images: img/{stem}.tif\nmasks: m/{stem}.tif\n"
    text = "classes: {0: soil, 1: rock}\nignore: 255\nvalues: {7: 0, 8: 0, 9: 1}\n"
    (tmp_path / "classes.yaml").write_text(text)
    (tmp_path / "data.yaml").write_text(layout)
    (problem,) = check(str(tmp_path), DataOptions()).problems
    assert "must lead to the ignored label; say `no_data: ignored` in data.yaml" in str(problem)
    assert str(problem).endswith("got 8, which is label 0")
    (tmp_path / "data.yaml").write_text(layout + IGNORED)
    data = prepared(tmp_path)
    expected = LABELS.copy()
    expected[:, 0] = data.spec.ignore_label
    np.testing.assert_array_equal(np.stack(list(data.masks)), expected)


@pytest.mark.parametrize("form", ["white is zero", "palette"])
def test_of_images_it_is_what_is_stored_not_what_is_seen(tmp_path: Path, form: str) -> None:
    stored = IMAGES.copy()
    stored[:, :2], stored[:, 2:4] = 0, 255
    for number, values in enumerate(stored):
        path = tmp_path / f"images/{number:02}.tif"
        if form == "white is zero":
            tiff(path, values, 0, photometric="miniswhite")
        else:  # colour 255 is that of index 0
            colours = np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))
            tiff(path, values, 0, photometric="palette", colormap=colours)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(LABELS[number]).save(tmp_path / f"masks/{number:02}.png")
    layout = "images: images/{path}.*\nmasks: masks/{path}.*\n"
    (tmp_path / "classes.yaml").write_text("classes: {0: soil, 1: rock}\nignore: 255\n")
    (tmp_path / "data.yaml").write_text(layout + IGNORED)
    data = prepared(tmp_path)
    np.testing.assert_array_equal(data.images[0][:, :, 0], 255 - stored[0])
    expected = LABELS.copy()
    expected[:, :2] = data.spec.ignore_label
    np.testing.assert_array_equal(np.stack(list(data.masks)), expected)


def test_another_ignored_label_is_the_one_that_it_becomes(tmp_path: Path) -> None:
    empty = IMAGES.copy()
    empty[:, 0] = 0
    for number, image in enumerate(empty):
        tiff(tmp_path / f"images/{number:02}.tif", image, 0)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(LABELS[number] + 1).save(tmp_path / f"masks/{number:02}.png")
    layout = "images: images/{path}.*\nmasks: masks/{path}.*\n"
    (tmp_path / "classes.yaml").write_text("classes: {0: void, 1: soil, 2: rock}\nignore: 0\n")
    (tmp_path / "data.yaml").write_text(layout + IGNORED)
    data = prepared(tmp_path, ignore="255", scored=(1, 2))
    expected = LABELS + 1
    expected[:, 0] = data.spec.ignore_label
    np.testing.assert_array_equal(np.stack(list(data.masks)), expected)
    without = prepared(tmp_path, ignore="none", scored=(1, 2))
    np.testing.assert_array_equal(np.stack(list(without.masks)), LABELS + 1)
    assert [each for each in without.warnings if "no-data" in each]


@pytest.mark.parametrize(
    ("kind", "no_data"),
    [(np.int16, -9999), (np.int32, 2**20), (np.float32, -9999), (np.float32, np.nan)],
)
def test_no_data_of_a_mask_may_be_no_label(tmp_path: Path, kind: type, no_data: float) -> None:
    """As geographic programs write them: numbers with a sign or floats, no data far outside."""
    images(tmp_path)
    stored = LABELS.astype(kind)
    stored[:, :2] = no_data
    stored[0] = no_data
    for number, values in enumerate(stored):
        tiff(tmp_path / f"m/{number:02}.tif", values, None if np.isnan(no_data) else int(no_data))
    layout = "images: img/{stem}.tif\nmasks: m/{stem}.tif\n"
    (tmp_path / "classes.yaml").write_text("classes: {0: soil, 1: rock}\nignore: 255\n")
    (tmp_path / "data.yaml").write_text(layout)
    said = [str(problem) for problem in check(str(tmp_path), DataOptions()).problems]
    assert said
    assert all("whole numbers in 0..65535" in line for line in said)
    assert all("`no_data: ignored` of data.yaml gives the ignored label" in line for line in said)
    (tmp_path / "data.yaml").write_text(layout + IGNORED)
    data = prepared(tmp_path, min_labelled=0.0)
    expected = LABELS.copy()
    expected[:, :2] = data.spec.ignore_label
    expected[0] = data.spec.ignore_label
    np.testing.assert_array_equal(np.stack(list(data.masks)), expected)
    # where nothing is ignored, no data has no label to have
    assert check(str(tmp_path), DataOptions(ignore="none", min_labelled=0.0)).problems


def test_no_data_is_not_looked_up_among_values(tmp_path: Path) -> None:
    images(tmp_path)
    stored = np.where(LABELS == 1, 20, 10).astype(np.uint8)
    stored[:, :2] = 255
    stored[0] = 255
    stored[1, 3, 3] = 7
    for number, values in enumerate(stored):
        tiff(tmp_path / f"m/{number:02}.tif", values, 255)
    text = "classes: {0: soil, 1: rock}\nignore: 255\nvalues: {10: 0, 20: 1}\n"
    (tmp_path / "classes.yaml").write_text(text)
    (tmp_path / "data.yaml").write_text("images: img/{stem}.tif\nmasks: m/{stem}.tif\n" + IGNORED)
    (problem,) = check(str(tmp_path), DataOptions(min_labelled=0.0)).problems
    assert str(problem).startswith("masks: value 7")
    assert f"{1 / stored.size:.2%}" in str(problem)
    stored[1, 3, 3] = 10
    tiff(tmp_path / "m/01.tif", stored[1], 255)
    data = prepared(tmp_path, min_labelled=0.0)
    expected = (stored == 20).astype(np.uint8)
    expected[stored == 255] = data.spec.ignore_label
    np.testing.assert_array_equal(np.stack(list(data.masks)), expected)
