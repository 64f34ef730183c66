"""Folders that are laid out as data.yaml says, or as others lay them out: where the files lie,
several mask files of one frame, channels, ranges and no-data.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from typer.testing import CliRunner

from objectives.data.dataset import DataOptions, check, open_dataset, read_images, read_labelled
from objectives.data.reading.folder import read_folder
from objectives.data.reading.source import open_source, source_stamp
from objectives.errors import ProblemsError
from search.cli.app import app

RUNNER = CliRunner()
SIDE = 8
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (12, SIDE, SIDE), np.uint8)
MASKS = RNG.integers(0, 3, (12, SIDE, SIDE), np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write(root: Path, image: str, mask: str, layout: str = "") -> Path:
    """Twelve frames under names that hold their number, and a data.yaml."""
    for number in range(12):
        words = {"n": f"{number:02d}", "city": "ab"[number % 2], "part": "train"}
        save(root / image.format(**words), IMAGES[number])
        save(root / mask.format(**words), MASKS[number])
    if layout:
        (root / "data.yaml").write_text(layout)
    return root


def assert_read(root: Path, names: Callable[[str], str]) -> None:
    source = read_folder(root)
    assert not source.problems
    assert source.names == tuple(sorted(names(f"{number:02d}") for number in range(12)))
    for index, name in enumerate(source.names):
        number = int("".join(each for each in name if each.isdigit())[-2:])
        assert np.array_equal(source.image(index)[:, :, 0], IMAGES[number])
        assert np.array_equal(source.mask(index), MASKS[number])


def test_masks_beside_the_images(tmp_path: Path) -> None:
    layout = 'images: "img/{stem}.png"\nmasks: "img/{stem}_mask.png"\n'
    root = write(tmp_path, "img/f{n}.png", "img/f{n}_mask.png", layout)
    assert_read(root, lambda number: f"f{number}")
    assert [name for name, _ in read_images(root)] == [f"f{number:02d}" for number in range(12)]
    data = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert len(read_labelled(root, data.spec).names) == 12


def test_cityscapes(tmp_path: Path) -> None:
    layout = (
        "images: leftImg8bit/{part}/{group}/{stem}_leftImg8bit.png\n"
        "masks: gtFine/{part}/{group}/{stem}_gtFine_labelIds.png\n"
    )
    image, mask = "leftImg8bit/{part}/{city}/{n}", "gtFine/{part}/{city}/{n}_gtFine_"
    root = write(tmp_path, f"{image}_leftImg8bit.png", f"{mask}labelIds.png", layout)
    save(root / "gtFine/train/a/00_gtFine_color.png", np.zeros((2, 2, 3), np.uint8))
    source = read_folder(root)
    assert not source.problems
    assert source.names[0] == "train/a/00_leftImg8bit"
    assert set(source.parts) == {"train"}
    assert source.groups == ("a",) * 6 + ("b",) * 6


def test_several_folders_and_one_elsewhere(tmp_path: Path) -> None:
    for side in "ab":
        write(tmp_path / side, "img/{n}.png", "truth/{n}.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "two.yaml").write_text(
        "root: ..\nimages: ['a/img/{stem}.png', 'b/img/{stem}.png']\n"
        "masks: ['a/truth/{stem}.png', 'b/truth/{stem}.png']\n"
    )
    (tmp_path / "here" / "classes.yaml").write_text("classes: {0: x, 1: y, 2: z}\n")
    path = tmp_path / "here" / "two.yaml"
    source = open_source(str(path))
    assert not source.problems
    assert len(source.names) == 24
    assert source.names[0] == "a/img/00"
    assert source.classes is not None
    before = source_stamp(str(path))
    save(tmp_path / "b/truth/00.png", np.zeros((SIDE, SIDE), np.uint8))
    assert source_stamp(str(path)) != before
    path.write_text("images: ['a/img/{stem}.png', 'b/img/{stem}.png']\nmasks: a/truth/{stem}.png\n")
    with pytest.raises(ProblemsError, match="must be a folder of PNG"):
        open_source(str(path))  # no root: it begins where the file lies


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{part}/{n}.png", "masks/{part}/{n}.png"),
        ("{part}/images/{n}.png", "{part}/masks/{n}.png"),
    ],
)
def test_folders_that_are_parts_are_known(tmp_path: Path, image: str, mask: str) -> None:
    write(tmp_path, image, mask)
    for part in ("val", "test"):
        save(tmp_path / image.format(part=part, n=part), IMAGES[0])
        save(tmp_path / mask.format(part=part, n=part), MASKS[0])
    source = read_folder(tmp_path)
    assert not source.problems
    assert sorted(set(source.parts)) == ["test", "train", "validation"]
    # another folder beside them, and they are but folders
    save(tmp_path / image.format(part="more", n="x"), IMAGES[0])
    save(tmp_path / mask.format(part="more", n="x"), MASKS[0])
    if image.startswith("images"):
        assert read_folder(tmp_path).parts == ()


def test_voc_and_cvat_are_known_with_their_lists(tmp_path: Path) -> None:
    write(tmp_path, "JPEGImages/{n}.png", "SegmentationClass/{n}.png")
    assert_read(tmp_path, lambda number: number)
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("".join(f"{number:02d}\n" for number in range(12)))
    assert_read(tmp_path, lambda number: number)
    (lists / "train.txt").write_text("".join(f"{number:02d}\n" for number in range(6)))
    (lists / "val.txt").write_text("06 1\n07 -1\n")
    save(tmp_path / "JPEGImages/unlabelled.png", IMAGES[0])
    source = read_folder(tmp_path)
    assert not source.problems
    assert source.parts == ("train",) * 6 + ("validation",) * 2
    assert source.warnings == ("5 images are in none of the given parts, and left out",)


def squares(root: Path) -> np.ndarray:
    """A frame's mask files by class, a large one of b over a small one of a and beside it."""
    large, small = np.zeros((2, SIDE, SIDE), np.uint8)
    large[1:7, 1:7] = 255
    small[2:4, 2:4] = small[0, 0] = 200
    for number in range(12):
        save(root / f"img/{number:02d}.png", IMAGES[number])
        save(root / f"truth/{number:02d}_car.png", small)
        save(root / f"truth/{number:02d}_road.png", large)
    return np.stack([small, large])


@pytest.mark.parametrize("overlap", ["later", "smallest"])
def test_one_file_for_each_class(tmp_path: Path, overlap: str) -> None:
    small, large = squares(tmp_path)
    layout = "images: img/{stem}.png\nmasks: truth/{stem}_{class}.png\noverlap: " + overlap
    (tmp_path / "data.yaml").write_text(layout)
    data = open_dataset(str(tmp_path), DataOptions(min_identical=99), tmp_path / "cache")
    assert data.spec.class_names == ("background", "car", "road")
    expected = np.where(small > 0, 1, 0)
    expected = np.where((large > 0) & ((overlap == "later") | (expected == 0)), 2, expected)
    assert np.array_equal(data.masks[0], expected)
    (tmp_path / "classes.yaml").write_text("classes: {0: nothing, 1: road, 2: car}")
    (tmp_path / "data.yaml").write_text(f"{layout}\nthreshold: 201\n")
    data = open_dataset(
        str(tmp_path), DataOptions(min_identical=99, scored=(0, 1)), tmp_path / "cache"
    )
    assert np.array_equal(data.masks[0], np.where(large > 200, 1, 0))
    (tmp_path / "classes.yaml").write_text("classes: {0: nothing, 1: road}")
    (problem,) = read_folder(tmp_path).problems
    assert str(problem) == "00_car.png: {class} must be one of nothing, road, got car"


def test_a_small_file_of_label_0_lies_on_top_of_larger_ones(tmp_path: Path) -> None:
    small, large = squares(tmp_path)
    (tmp_path / "data.yaml").write_text(
        "images: img/{stem}.png\nmasks: truth/{stem}_{class}.png\noverlap: smallest\n"
    )
    (tmp_path / "classes.yaml").write_text("classes: {0: car, 1: road}")
    source = read_folder(tmp_path)
    expected = np.where((large > 0) & (small == 0), 1, 0)
    assert np.array_equal(source.mask(0), expected)
    assert source.warnings == (
        "pixels that no mask file paints are of the class of label 0, car, although it has files "
        "of its own",
    )


def test_files_of_classes_that_are_numbers_need_a_classes_yaml(tmp_path: Path) -> None:
    layout = "images: img/{stem}.png\nmasks: m/{stem}_{class}.png\n"
    root = write(tmp_path, "img/{n}.png", "m/{n}_10.png", layout)
    save(root / "m/00_2.png", MASKS[0])
    (problem,) = read_folder(root).problems
    rule = "classes.yaml must say which classes they are, where {class} is a number"
    assert str(problem) == f"mask files: {rule}, got 2, 10"
    names = "".join(f"  {label}: class {label}\n" for label in range(11))
    (root / "classes.yaml").write_text(f"classes:\n{names}")
    assert not read_folder(root).problems
    assert set(np.unique(read_folder(root).mask(1))) == {0, 10}


def test_groups_are_in_every_pattern_or_in_none(tmp_path: Path) -> None:
    layout = (
        "images: ['img/{group}/{stem}.png', 'more/{stem}.png']\n"
        "masks: ['m/{group}/{stem}.png', 'm/{stem}.png']\n"
    )
    root = write(tmp_path, "img/{city}/{n}.png", "m/{city}/{n}.png", layout)
    (root / "more").mkdir()
    assert len(set(read_folder(root).groups)) == 2
    save(root / "more/99.png", IMAGES[0])
    save(root / "m/99.png", MASKS[0])
    (problem,) = read_folder(root).problems
    rule = "every pattern of images: must have {group}, or none"
    assert str(problem) == f"more/99.png: {rule}, got none"


def test_one_file_for_each_object(tmp_path: Path) -> None:
    small, large = squares(tmp_path)
    (tmp_path / "data.yaml").write_text(
        "images: img/{stem}.png\nmasks: truth/{stem}_{object}.png\noverlap: smallest\n"
    )
    (tmp_path / "classes.yaml").write_text(
        "classes: {0: none, 1: some, 2: bright}\nvalues: {200: 1, 255: 2}"
    )
    source = read_folder(tmp_path)
    assert not source.problems
    assert np.array_equal(source.mask(0), np.where(small > 0, 1, np.where(large > 0, 2, 0)))
    save(tmp_path / "truth/03_road.png", np.zeros((SIDE, 4), np.uint8))
    texts = [
        str(problem) for problem in check(str(tmp_path), DataOptions(min_identical=99)).problems
    ]
    assert texts == [
        "truth/03_road.png: all mask files of an image must have one size, got 8 x 8 and 8 x 4"
    ]


@pytest.mark.parametrize("rule", ["refuse", "background", "drop"])
def test_images_without_a_mask(tmp_path: Path, rule: str) -> None:
    layout = "images: img/{stem}.png\nmasks: m/{stem}.png\nwithout_mask: " + rule
    root = write(tmp_path, "img/{n}.png", "m/{n}.png", layout)
    (root / "m/05.png").unlink()
    source = read_folder(root)
    texts = [str(problem) for problem in source.problems]
    assert texts == (["img/05.png: must have a mask, got no m/05.png"] * (rule == "refuse"))
    assert len(source.names) == 11 + (rule == "background")
    assert len(source.warnings) == (rule != "refuse")
    if rule == "background":
        assert source.mask(5).shape == (SIDE, SIDE)
        assert not source.mask(5).any()
        assert not check(str(root), DataOptions()).problems


def test_mixed_channels_become_rgb_or_grey(tmp_path: Path) -> None:
    root = write(tmp_path, "images/{n}.png", "masks/{n}.png")
    colour = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    save(root / "images/03.png", colour)
    save(root / "images/04.png", np.dstack([colour, np.full((SIDE, SIDE), 255, np.uint8)]))
    assert check(str(root), DataOptions()).problems
    data = open_dataset(str(root), DataOptions(channels="rgb"), tmp_path / "cache")
    assert (data.spec.channels, data.spec.convert) == (3, "rgb")
    assert np.array_equal(data.images[3], colour)
    assert np.array_equal(data.images[0], np.dstack([IMAGES[0]] * 3))
    grey = open_dataset(str(root), DataOptions(channels="grey"), tmp_path / "cache")
    assert np.array_equal(grey.images[3][:, :, 0], np.array(Image.fromarray(colour).convert("L")))
    # what a bundle reads, it reads likewise
    assert {image.shape[2] for _, image in read_images(root, grey.spec.reading)} == {1}
    assert len(read_labelled(root, grey.spec).names) == 12
    (root / "data.yaml").write_text(
        "images: images/{path}.*\nmasks: masks/{path}.*\nchannels: rgb\n"
    )
    stated = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert stated.fingerprint == data.fingerprint
    asked = open_dataset(str(root), DataOptions(channels="grey"), tmp_path / "cache")
    assert asked.fingerprint == grey.fingerprint


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.uint16])
def test_a_stated_range_becomes_16_bits(tmp_path: Path, kind: type) -> None:
    root = write(tmp_path, "images/{n}.png", "masks/{n}.png")
    heights = [RNG.integers(100, 2000, (SIDE, SIDE)).astype(kind) for _ in range(12)]
    for number, height in enumerate(heights):
        (root / f"images/{number:02d}.png").unlink()
        tifffile.imwrite(root / f"images/{number:02d}.tif", height)
    layout = "images: images/{path}.*\nmasks: masks/{path}.*\nrange: [200, 1.2e3]\n"
    (root / "data.yaml").write_text(layout)
    data = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert data.images.dtype == np.uint16
    share = (heights[2].astype(float) - 200) / 1000
    expected = np.round(65535 * np.minimum(np.maximum(share, 0), 1))
    assert np.array_equal(data.images[2][:, :, 0], expected)
    assert data.spec.pixel_range == (200.0, 1200.0)
    (root / "data.yaml").unlink()
    first = next(iter(read_images(root, data.spec.reading)))[1]
    assert np.array_equal(first, data.images[0])


def test_pixels_without_data_are_ignored_when_asked(tmp_path: Path) -> None:
    root = write(tmp_path, "images/{n}.png", "masks/{n}.png")
    (root / "classes.yaml").write_text("classes: {0: a, 1: b, 2: c}\nignore: 255\n")
    heights = RNG.normal(0, 1, (12, SIDE, SIDE)).astype(np.float32)
    heights[:, 0] = -9999
    heights[:, 1, 0] = np.nan
    for number, height in enumerate(heights):
        (root / f"images/{number:02d}.png").unlink()
        tags = [(42113, 2, 6, "-9999", True)]
        tifffile.imwrite(root / f"images/{number:02d}.tif", height, extratags=tags)
    layout = "images: images/{path}.*\nmasks: masks/{path}.*\nrange: [-3, 3]\n"
    (root / "data.yaml").write_text(layout)
    (warning,) = (each for each in check(str(root), DataOptions()).warnings if "no-data" in each)
    assert "-9999 by TIFF tag 42113" in warning
    (root / "data.yaml").write_text(f"{layout}no_data: ignored\n")
    data = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert not [each for each in data.warnings if "no-data" in each]
    expected = MASKS.copy()
    expected[:, 0] = expected[:, 1, 0] = data.spec.ignore_label
    assert np.array_equal(data.masks, expected)
    (root / "classes.yaml").unlink()
    (problem,) = read_folder(root).problems
    assert "needs an ignored label" in str(problem)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("[1]", ["must be a mapping with images: and masks:"]),
        ("images: 3\nmasks: [1]", ["data.yaml: images: must be a path", "data.yaml: masks"]),
        (
            "nc: 3\nnames: [a]",
            ["is turned into frames by `search data import`, got a data.yaml of YOLO"],
        ),
        ("images: /a/{stem}\nmasks: ../{stem}", ["below the folder", "must not have . or .."]),
        (f"images: {'x' * 256}/{{s}}\nmasks: b/{{s}}", ["at most 255 bytes"]),
        ("images: a/{Stem}\nmasks: a/b.png", ["word in small letters", "tells the frames apart"]),
        ("images: a/{a}{b}.png\nmasks: a/{a", ["between two fields", "enclose", "tells the"]),
        ("images: a/{stem}.png\nmasks: b/{other}.png", ["{class} and {object} only", "share"]),
        ("images: a/{stem}.png\nmasks: a/{stem}.png", ["must lie elsewhere than images:"]),
        ("images: a/{class}.png\nmasks: b/{class}.png", ["may be in masks: only"]),
        (
            "images: ['a/{s}', 'b/{s}']\nmasks: ['a/{s}x', 'b/{s}x', 'c/{s}x']",
            ["as many as images:, got 3"],
        ),
        (
            "images: a/{s}\nmasks: b/{s}\noverlap: x\nthreshold: 0\nwithout_mask: 1\nrange: [2, 1]",
            ["later or smallest", "1 to 65535", "refuse or background or drop", "two numbers"],
        ),
        ("images: a/{s}\nmasks: b/{s}\nthreshold: 9", ["is for masks: with {class}"]),
        ("images: a/{s}\nmasks: b/{s}\nparts: {dev: x, test: 3}", ["dev", "'test': 3"]),
        ("images: a/{part}/{s}\nmasks: b/{part}/{s}\nparts: x.csv", ["images: has {part}"]),
        ("images: a/{s}\nmasks: b/{s}\nno_data: yes\nchannels: RGB", ["ignored", "rgb or grey"]),
    ],
)
def test_a_wrong_data_yaml_names_every_rule(tmp_path: Path, text: str, messages: list[str]) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ProblemsError) as raised:
        read_folder(tmp_path)
    assert len(raised.value.problems) == len(messages), raised.value
    for message in messages:
        assert message in str(raised.value)


def test_a_root_that_is_not_there_and_two_files(tmp_path: Path) -> None:
    layout = "images: images/{path}.*\nmasks: masks/{path}.*\n"
    root = write(tmp_path, "images/{n}.png", "masks/{n}.png", layout)
    (root / "data.yml").write_text(layout)
    assert [problem.where for problem in read_folder(root).problems] == ["data.yml"]
    (root / "data.yaml").write_text(f"root: nowhere\n{layout}")
    with pytest.raises(ProblemsError, match="root: must be a folder, got nowhere"):
        read_folder(root)
    for odd in ("~nobody-of-this-name", "x" * 300, r"'a\0b'"):
        (root / "data.yaml").write_text(f"root: {odd}\n{layout}")
        assert source_stamp(str(root))
        with pytest.raises(ProblemsError, match="root: must be a"):
            read_folder(root)


def test_what_was_assumed_is_printed_as_it_is_read(tmp_path: Path) -> None:
    root = write(tmp_path, "images/{n}.png", "masks/{n}.png")
    plain = check(str(root), DataOptions(ignore="2"))
    assert yaml.safe_load(plain.assumed["data.yaml"]) == {
        "images": "images/{path}.*",
        "masks": "masks/{path}.*",
    }
    classes = yaml.safe_load(plain.assumed["classes.yaml"])
    assert (classes["ignore"], classes["classes"]) == (2, {0: "class_0", 1: "class_1"})
    printed = RUNNER.invoke(app, ["data", "check", str(root), "--ignore", "2"]).stdout
    for name, text in plain.assumed.items():
        assert f"# {name}, assumed: save it beside the frames to change it\n{text}" in printed
        (root / name).write_text(text)
    written = check(str(root), DataOptions())
    assert written.assumed == {}
    assert written == replace(plain, assumed={})
    assert check("synthetic:40", DataOptions()).assumed == {}


def test_the_classes_of_a_cvat_export_are_printed_as_classes_yaml(tmp_path: Path) -> None:
    root = write(tmp_path, "JPEGImages/{n}.png", "SegmentationClass/{n}.png")
    lines = "".join(f"name {label}:{label},{label},{label}::\n" for label in range(3))
    (root / "labelmap.txt").write_text(lines)
    first = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    (root / "classes.yaml").write_text(check(str(root), DataOptions()).assumed["classes.yaml"])
    (root / "labelmap.txt").unlink()
    again = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert (again.fingerprint, again.spec) == (first.fingerprint, first.spec)
