from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from objectives.data.reading.classes import COURSE
from objectives.data.reading.classes_file import read_classes
from objectives.data.reading.folder import read_folder
from objectives.data.reading.npz import read_npz, read_to_predict
from objectives.data.reading.source import open_source, source_stamp
from objectives.data.reading.synthetic import generate, write_folder, write_npz
from objectives.errors import ProblemsError


def test_npz_round_trip(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", 24)
    source, terrain = read_npz(tmp_path / "a.npz"), generate(24)
    assert source.classes is None
    assert source.guess(5) == COURSE
    assert source.guess(3).names == ("class_0", "class_1", "class_2")
    assert source.guess(3).ignore_label == 0
    assert not source.problems
    assert len(source.names) == len(terrain.images) == 36
    assert source.image(3).shape == (64, 128, 1)
    assert np.array_equal(source.image(3)[:, :, 0], terrain.images[3])
    assert np.array_equal(source.mask(3), terrain.masks[3])
    assert source.groups == tuple(map(str, terrain.groups.tolist()))
    to_predict = np.stack(read_to_predict(tmp_path / "a.npz"))
    assert np.array_equal(to_predict[..., 0], terrain.test_images)


def test_npz_without_groups_and_with_class_names(tmp_path: Path) -> None:
    frames = np.zeros((4, 2, 8, 8), np.uint8)
    frames[:, 1, :, :4] = 2
    np.savez(
        tmp_path / "a.npz", training_set=frames, class_names=np.array(["void", "grass", "path"])
    )
    source = read_npz(tmp_path / "a.npz")
    assert source.groups == ()
    assert source.classes is not None
    assert source.classes.names == ("void", "grass", "path")
    assert source.classes.ignore_label == 0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "must hold training_set"),
        (
            {"training_set": np.zeros((3, 8, 8), np.uint8)},
            r"must be uint8 \(N, 2, H, W\).*\(3, 8, 8\)",
        ),
        ({"training_set": np.zeros((3, 2, 8, 8), np.float32)}, "float32"),
        ({"training_set": np.array([object()], object)}, "plain arrays"),
        ({"training_set": np.zeros((0, 2, 8, 8), np.uint8)}, "training_set"),
    ],
)
def test_npz_of_another_layout(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=True, other=np.zeros(1), **arrays)
    with pytest.raises(ProblemsError, match=message):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(ProblemsError, match="must hold test_set"):
        read_to_predict(tmp_path / "a.npz")


def test_damaged_npz(tmp_path: Path) -> None:
    write_npz(tmp_path / "whole.npz", 24)
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "single.npy", np.zeros(3))
    flipped = whole[:2000] + bytes(200) + whole[2200:]
    single = (tmp_path / "single.npy").read_bytes()
    for data in (b"", b"hello", whole[:30], whole[: len(whole) // 2], flipped, single):
        (tmp_path / "a.npz").write_bytes(data)
        with pytest.raises(ProblemsError, match="must be a readable npz"):
            read_npz(tmp_path / "a.npz")


def test_npz_with_bad_groups_and_class_names(tmp_path: Path) -> None:
    frames = np.ones((4, 2, 8, 8), np.uint8)
    np.savez(
        tmp_path / "a.npz",
        training_set=frames,
        training_groups=np.zeros(3),
        class_names=np.array(["a", "a"]),
    )
    problems = [str(problem) for problem in read_npz(tmp_path / "a.npz").problems]
    assert problems == [
        "training_groups: must hold one whole number or name per frame (4,), got float64 (3,)",
        "class_names: must be 2 to 256 different names, got <U1 (2,)",
    ]


def test_folder_round_trip(tmp_path: Path) -> None:
    write_folder(tmp_path, 24)
    source, terrain = read_folder(tmp_path), generate(24)
    assert not source.problems
    assert source.names[:2] == ("00000", "00001")
    assert np.array_equal(source.image(5)[:, :, 0], terrain.images[5])
    assert np.array_equal(source.mask(5), terrain.masks[5])
    assert source.groups[5] == f"place_{terrain.groups[5]}"
    assert source.classes is not None
    assert source.classes.names == COURSE.names
    assert source.classes.ignore_label == 0


def test_folder_names_everything_that_is_missing(tmp_path: Path) -> None:
    write_folder(tmp_path, 24)
    (tmp_path / "masks" / "00003.png").unlink()
    (tmp_path / "images" / "00004.png").unlink()
    (tmp_path / "images" / ".hidden.png").write_bytes(b"")
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    (tmp_path / "images" / "00005.tif").write_bytes(
        (tmp_path / "images" / "00005.png").read_bytes()
    )
    with (tmp_path / "groups.csv").open("a") as opened:
        opened.write("00007.png,elsewhere\nnobody.png,place_1\n")
    problems = "\n".join(map(str, read_folder(tmp_path).problems))
    assert "images/00003.png: must have a mask" in problems
    assert "masks/00004.png: must have an image" in problems
    assert "images/00005.tif: two files must not share one name, got images/00005.png" in problems
    assert (
        "groups.csv line 38: a file must have one group, got 00007.png: place_3, elsewhere"
        in problems
    )
    assert "groups.csv line 39: must name one of the images, got nobody.png" in problems
    assert "got 00003.png" not in problems  # its image is there
    assert "hidden" not in problems
    assert "notes" not in problems


def test_frames_without_a_group_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, 24)
    rows = (tmp_path / "groups.csv").read_text().splitlines()
    (tmp_path / "groups.csv").write_text("\n".join(rows[:-1]))
    assert [str(problem) for problem in read_folder(tmp_path).problems] == [
        "images/00035.png: must have a group in groups.csv, got none"
    ]
    (tmp_path / "groups.csv").write_text("\n".join([*rows[:-1], "00035.png,"]))
    assert "groups.csv line 37: must name a group, got 00035.png without one" in map(
        str, read_folder(tmp_path).problems
    )
    (tmp_path / "groups.csv").write_text("image;place\n")
    assert "columns file,group" in str(read_folder(tmp_path).problems[0])
    (tmp_path / "groups.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "columns file,group" in str(read_folder(tmp_path).problems[0])


def test_folder_with_sub_folders(tmp_path: Path) -> None:
    for part in ("images/north", "masks/north", "images/south", "masks/south"):
        (tmp_path / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / part / "a.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "groups.csv").write_text('file,group\nimages/north/a.png,"hill, high"\nsouth/a,2\n')
    source = read_folder(tmp_path)
    assert source.names == ("north/a", "south/a")
    assert source.groups == ("hill, high", "2")
    assert not source.problems


def test_empty_folder_and_missing_path(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError, match="2 problems"):
        open_source(str(tmp_path))
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ProblemsError, match="must hold PNG"):
        open_source(str(tmp_path))
    for missing in ("nowhere", "nul\0byte"):
        with pytest.raises(ProblemsError, match="or the word synthetic"):
            open_source(str(tmp_path / missing))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.DCM", "scan.nrrd"])
def test_volumes_are_refused_by_their_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"volume")
    rule = rf"{name}: volumes \(3D\) are not read: save their slices"
    with pytest.raises(ProblemsError, match=rule):
        open_source(str(tmp_path / name))
    write_folder(tmp_path / "frames", 24)
    (tmp_path / "frames/images" / name).write_bytes(b"volume")
    (problem,) = read_folder(tmp_path / "frames").problems
    assert str(problem).startswith(f"images/{name}: volumes (3D) are not read")


@pytest.mark.parametrize(
    ("name", "rule"), [("a.json", "search data import"), ("a.parquet", "as files first")]
)
def test_files_of_labels_that_are_no_frames_lead_on(tmp_path: Path, name: str, rule: str) -> None:
    (tmp_path / name).write_bytes(b"labels")
    with pytest.raises(ProblemsError, match=rf"{name}: must be frames; .*{rule}"):
        open_source(str(tmp_path / name))


def test_stamp_follows_the_files(tmp_path: Path) -> None:
    write_folder(tmp_path, 24)
    first = source_stamp(str(tmp_path))
    assert source_stamp(str(tmp_path)) == first
    (tmp_path / "masks" / "00000.png").write_bytes(b"other")
    second = source_stamp(str(tmp_path))
    (tmp_path / "groups.csv").unlink()
    assert len({first, second, source_stamp(str(tmp_path))}) == 3


def _classes_file(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "classes.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_classes_with_an_ignored_label_beyond(tmp_path: Path) -> None:
    content = {"ignore": 255, "classes": {0: "road", 1: "sky"}, "colours": {1: [1, 2, 3]}}
    classes = read_classes(_classes_file(tmp_path, content))
    assert classes.names == ("road", "sky", "ignored")
    assert classes.colours[1] == (1, 2, 3)
    assert classes.ignore_label == 2
    assert classes.outside([0, 1, 2, 255]) == [2]
    assert np.array_equal(classes.encode(np.array([[0, 1, 255]], np.uint8)), [[0, 1, 2]])


def test_classes_without_an_ignored_label(tmp_path: Path) -> None:
    classes = read_classes(_classes_file(tmp_path, "ignore: null\nclasses: {0: a, 1: b}"))
    assert classes.ignore_label is None
    assert classes.outside([0, 1, 2]) == [2]


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ("a: [", ["readable YAML"]),
        ("classes: &a {0: x, 1: y}\ncolours: *a", ["readable YAML, got an alias"]),
        ("just text", ["must hold a mapping `classes: {0: name, 1: name, ...}`, got a str"]),
        ({"classes": ["a", "b"]}, ["got a list"]),
        ({"classes": {0: "a", 2: "b"}}, ["without gaps"]),
        ("classes: {0: a, 1: no, x: c}", ["must be text", "whole numbers"]),
        (
            {"classes": {0: "a", 1: "a"}, "ignore": "0", "color": 1},
            ["must differ", "label or null", "colours only"],
        ),
        ({"classes": {0: "a"}}, ["2 to 255 classes"]),
        (
            {"classes": {0: "a", 1: "b"}, "colours": {0: [1, 2], 1: "red"}},
            ["colours.0", "colours.1"],
        ),
    ],
)
def test_bad_classes_files_name_every_rule(
    tmp_path: Path, content: object, messages: list[str]
) -> None:
    with pytest.raises(ProblemsError) as raised:
        read_classes(_classes_file(tmp_path, content))
    assert len(raised.value.problems) == len(messages)
    for message in messages:
        assert message in str(raised.value)


@pytest.mark.parametrize(
    "value", ["!!timestamp noon", "!!bool x", "!!int x", "!!float x", "2001-99-99"]
)
def test_a_value_that_is_not_what_its_tag_says_is_named_with_its_line(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "classes.yaml").write_text(f"classes: {{0: void, 1: soil}}\nignore: {value}\n")
    with pytest.raises(
        ProblemsError,
        match=r"must be readable YAML, got found a value that is not what its tag says .* line 2",
    ):
        read_classes(tmp_path / "classes.yaml")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "an empty file"),
        (b"\x93NUMPY\x01\x00", "a single array"),
        (b"\x00\x00\x00\x18ftypmp42", "another kind of file"),
    ],
)
def test_a_file_of_another_kind_is_not_taken_for_pickled_objects(
    data: bytes, why: str, tmp_path: Path
) -> None:
    (tmp_path / "frames.mp4").write_bytes(data)
    with pytest.raises(ProblemsError, match=f"frames.mp4: must be a readable npz .*got {why}"):
        open_source(str(tmp_path / "frames.mp4"))


def test_one_image_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "a.PNG").write_bytes(b"")
    with pytest.raises(ProblemsError, match=r"a\.PNG: must be a folder with .*got one image file"):
        open_source(str(tmp_path / "a.PNG"))
    before = source_stamp(str(tmp_path / "a.PNG"))
    (tmp_path / "a.PNG").write_bytes(b"more")
    assert source_stamp(str(tmp_path / "a.PNG")) != before
