"""Stored values of masks that mean labels by a table: grey values, ranges, colours, CVAT's list."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from objectives.data.dataset import DataOptions, check, open_dataset, read_labelled
from objectives.data.reading.classes_file import read_classes, read_labelmap
from objectives.data.reading.decode import decode_mask
from objectives.data.spec import FrameSpec
from objectives.data.values import Values
from objectives.errors import ProblemsError

SIDE, COUNT = 12, 24
ROAD, SKY, VOID = (128, 64, 128), (70, 130, 180), (0, 0, 0)


def labels(count: int) -> np.ndarray:
    """Masks of each label (COUNT, SIDE, SIDE)."""
    return np.random.default_rng(1).integers(0, count, (COUNT, SIDE, SIDE))


def write_frames(root: Path, masks: np.ndarray, classes: str = "", form: str = "png") -> Path:
    """A folder of noise with these masks, (N, H, W) or (N, H, W, 3)."""
    images = np.random.default_rng(0).integers(0, 256, (len(masks), SIDE, SIDE)).astype(np.uint8)
    for part, arrays in (("images", images), ("masks", masks.astype(np.uint8))):
        (root / part).mkdir(parents=True, exist_ok=True)
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(root / part / f"{index:02d}.{form}")
    if classes:
        (root / "classes.yaml").write_text(classes)
    return root


def prepared_masks(root: Path) -> np.ndarray:
    return np.array(open_dataset(str(root), DataOptions(), root.parent / "cache").masks)


def drawn(masks: np.ndarray, colours: Mapping[int, tuple[int, int, int]]) -> np.ndarray:
    return np.array([colours[label] for label in range(len(colours))], np.uint8)[masks]


def test_grey_values_mean_labels_and_a_label_that_none_leads_to_is_itself(tmp_path: Path) -> None:
    masks = labels(2)
    root = write_frames(tmp_path / "a", masks * 255, "classes: {0: a, 1: b}\nvalues: {255: 1}")
    assert np.array_equal(prepared_masks(root), masks)
    data = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert data.spec.values == (("255", 1), ("0", 0))
    plain = write_frames(tmp_path / "b", masks, "classes: {0: a, 1: b}")
    same = open_dataset(str(plain), DataOptions(), tmp_path / "cache")
    assert same.fingerprint == data.fingerprint  # what is learned is the same
    assert "values" not in same.spec.model_dump(mode="json")


def test_a_label_that_a_value_leads_to_is_no_value_of_its_own(tmp_path: Path) -> None:
    text = "classes: {0: road, 1: sky}\nignore: 255\nvalues: {7: 0, 23: 1, 3: 255, 4: 255}"
    root = write_frames(tmp_path, np.array([7, 23, 3, 4, 255])[labels(5)], text)
    assert not check(str(root), DataOptions()).problems
    classes = read_classes(root / "classes.yaml")
    # the ignored label stands for itself, too
    assert dict(classes.values.entries) == {"7": 0, "23": 1, "3": 255, "4": 255, "255": 255}
    found = classes.values.read(np.array([[7, 23, 3], [4, 0, 1]]))
    assert found.undeclared == {"0": 1, "1": 1}
    assert found.labels_HW.tolist() == [[0, 1, 255], [255, 0, 0]]


def test_colours_mean_labels_in_rgb_palette_and_gif(tmp_path: Path) -> None:
    text = "classes: {0: void, 1: road, 2: sky}\nignore: 0\nvalues:\n  0,0,0: 0\n"
    text += "  '128, 64, 128': 1\n  '70,130,180': 2\n"
    masks = labels(3)
    colours = drawn(masks, {0: VOID, 1: ROAD, 2: SKY})
    root = write_frames(tmp_path / "rgb", colours, text)
    data = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert np.array_equal(data.masks, masks)
    assert data.spec.colours == (VOID, ROAD, SKY)  # nobody gave others
    for number, path in enumerate(sorted((root / "masks").iterdir())):
        image = Image.fromarray(colours[number]).quantize(8)
        path.unlink()
        image.save(path.with_suffix(".gif" if number % 2 else ".png"))
    assert np.array_equal(prepared_masks(root), masks)


def test_soft_edges_by_a_threshold_and_jpg_where_every_value_means_something(
    tmp_path: Path,
) -> None:
    text = "classes: {0: a, 1: b}\nvalues: {0-127: 0, '128-255': 1}"
    grey = np.random.default_rng(2).integers(0, 256, (COUNT, SIDE, SIDE))
    root = write_frames(tmp_path / "soft", grey, text)
    assert np.array_equal(prepared_masks(root), grey > 127)
    blocks = np.kron(labels(2)[:, :2, :2], np.ones((6, 6), int))
    jpg = write_frames(tmp_path / "jpg", 20 + 200 * blocks, text, "jpg")
    assert np.array_equal(prepared_masks(jpg), blocks)
    (jpg / "classes.yaml").write_text("classes: {0: a, 1: b}\nvalues: {'200-255': 1}")
    assert "a JPG does not keep labels" in str(check(str(jpg), DataOptions()).problems)


@pytest.mark.parametrize(
    ("masks", "declared", "values"),
    [
        (labels(2) * 255, "", {255: 1}),
        (labels(2) * 255, "classes: {0: ground, 1: cell}", {255: 1}),
        (labels(3) * 100, "classes: {0: ground, 1: cell}", {100: 1, 200: 2}),
        (np.array([0, 1, 9])[labels(3)], "classes: {0: a, 1: b}\nignore: 255", {9: 2}),
        (np.array([3, 4, 5])[labels(3)], "classes: {0: a, 1: b}\nvalues: {3: 0, 4: 1}", {5: 2}),
        (
            drawn(labels(2), {0: ROAD, 1: SKY}),
            "",
            {"70,130,180": 0, "128,64,128": 1},
        ),
        (
            drawn(labels(2) * (np.arange(COUNT) < COUNT - 4)[:, None, None], {0: VOID, 1: ROAD}),
            "classes: {0: void, 1: road}",
            {"0,0,0": 0, "128,64,128": 1},
        ),
        (
            drawn(labels(2) * (np.arange(COUNT) < COUNT - 4)[:, None, None], {0: VOID, 1: ROAD}),
            "",
            {"0,0,0": 0, "128,64,128": 1},
        ),
        (np.where(labels(12) < 9, 0, np.where(labels(12) > 10, 255, 30)) + 0, "", None),
    ],
    ids=[
        "0-255",
        "named",
        "new class",
        "beside ignored",
        "extended",
        "colours",
        "black masks",
        "black masks unnamed",
        "three",
    ],
)
def test_undeclared_values_are_named_and_the_printed_lines_accept_them(
    tmp_path: Path, masks: np.ndarray, declared: str, values: dict[object, int] | None
) -> None:
    root = write_frames(tmp_path / "frames", masks, declared)
    report = check(str(root), DataOptions())
    assert report.problems
    for problem in report.problems:
        assert problem.where.startswith("masks: value ")
        assert "images/00.png" in problem.value
        assert "% of all pixels" in problem.value
    with pytest.raises(ProblemsError) as raised:
        open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert report.remedy
    assert report.remedy.strip() in str(raised.value)
    held = yaml.safe_load(report.remedy)
    if values is not None:
        assert values.items() <= held["values"].items()
    (root / "classes.yaml").write_text(report.remedy)
    assert not check(str(root), DataOptions()).problems


def test_a_mask_of_two_values_with_soft_edges_gets_a_threshold(tmp_path: Path) -> None:
    masks = labels(2) * 255
    masks[:, 0, :] = np.arange(SIDE) * 23
    root = write_frames(tmp_path, masks)
    remedy = check(str(root), DataOptions()).remedy
    assert yaml.safe_load(remedy)["values"] == {"0-127": 0, "128-255": 1}
    (root / "classes.yaml").write_text(remedy)
    assert np.array_equal(prepared_masks(root), masks > 127)


def test_a_bundle_reads_masks_that_declare_nothing_by_its_own_table(tmp_path: Path) -> None:
    masks = labels(2)
    root = write_frames(tmp_path / "a", masks * 255, "classes: {0: a, 1: b}\nvalues: {255: 1}")
    spec = open_dataset(str(root), DataOptions(), tmp_path / "cache").spec
    spec = FrameSpec.model_validate_json(spec.model_dump_json())
    foreign = write_frames(tmp_path / "b", masks * 255)
    assert np.array_equal(np.stack(read_labelled(foreign, spec).masks), masks)
    # what it says itself, counts
    declared = write_frames(tmp_path / "c", masks * 9, "classes: {0: a, 1: b}\nvalues: {9: 1}")
    assert np.array_equal(np.stack(read_labelled(declared, spec).masks), masks)
    with pytest.raises(ProblemsError, match=r"masks: value 1: labels must be among the 2 classes"):
        read_labelled(write_frames(tmp_path / "d", masks), spec)


def test_ignore_names_a_label(tmp_path: Path) -> None:
    text = "classes: {0: a, 1: b, 2: c}\nvalues: {255: 1, 9: 2}"
    masks = np.array([0, 255, 9])[labels(3)]
    root = write_frames(tmp_path, masks, text)
    data = open_dataset(str(root), DataOptions(ignore="2"), tmp_path / "cache")
    assert (data.spec.ignore_label, data.spec.raw_ignore) == (2, 2)
    assert data.pixels_in("train")[2] == sum(
        int((masks[index] == 9).sum()) for index in data.parts["train"]
    )


def test_ignore_is_a_label_not_a_value_that_leads_to_one(tmp_path: Path) -> None:
    text = "classes: {0: a, 1: b, 2: c}\nvalues: {100: 1, 200: 2}"
    root = write_frames(tmp_path, np.array([0, 100, 200])[labels(3)], text)
    (problem,) = check(str(root), DataOptions(ignore="100")).problems
    assert str(problem) == ("ignore: must be a label; 100 is a stored value of label 1, b, got 100")
    assert not check(str(root), DataOptions(ignore="1")).problems
    unheard = check(str(root), DataOptions(ignore="77"))
    assert not unheard.problems
    assert "no mask has the label 77 that --ignore names" in unheard.warnings


CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nsky:70,130,180::\n"


def test_the_list_of_a_cvat_export_is_read_where_no_classes_are_named(tmp_path: Path) -> None:
    masks = labels(3)
    root = write_frames(tmp_path / "a", drawn(masks, {0: VOID, 1: ROAD, 2: SKY}))
    (root / "labelmap.txt").write_text(CVAT)
    data = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    assert data.spec.class_names == ("background", "road", "sky")
    assert np.array_equal(data.masks, masks)
    assert data.spec.ignore_label is None
    (root / "classes.yaml").write_text("classes: {0: a, 1: b, 2: c}")
    assert "unless `values:`" not in str(check(str(root), DataOptions()).problems)
    assert {problem.where for problem in check(str(root), DataOptions()).problems} == {
        f"masks: value {','.join(map(str, colour))}" for colour in (VOID, ROAD, SKY)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:0,0,0::\nb:1,2::\n", "line 2: must be name:red,green,blue"),
        ("a:0,0,0::\na:1,2,3::\n", "class names must differ, got a"),
        ("a:0,0,0::\nb:0,0,0::\n", "a value must have one label"),
        ("a:0,0,0::\n", "2 to 255 classes, got 1"),
        ("a:0,0,0::\nb:0,0,256::\n", "line 2"),
    ],
)
def test_a_wrong_list_of_cvat_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(ProblemsError, match=message):
        read_labelmap(tmp_path / "labelmap.txt")


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        ("[1]", ["values: must be a mapping"]),
        ("{x: 1}", ["a key must be a value 0 to 65535, a range like '128-255'"]),
        ("{-1: 1, 70000: 0, '9-3': 0, '1,2': 0}", ["'-1'", "'70000'", "'9-3'", "'1,2'"]),
        ("{5: 7, 6: x}", ["values.5: must be a label", "values.6: must be a label"]),
        ("{5: 1, '3-9': 0}", ["a value must have one label, got '3-9' and '5'"]),
        ("{5: 1, '5-5': 0}", ["a value must have one label"]),
        ("{5: 1, '1,2,3': 0}", ["keys must be all grey values or all colours"]),
        ("{'1,2,3': 1, '1, 2, 3': 0}", ["a value must have one label"]),
        ("{true: 1}", ["got 'True'"]),
    ],
)
def test_a_wrong_table_names_every_rule(tmp_path: Path, values: str, messages: list[str]) -> None:
    (tmp_path / "classes.yaml").write_text(f"classes: {{0: a, 1: b}}\nvalues: {values}\n")
    with pytest.raises(ProblemsError) as raised:
        read_classes(tmp_path / "classes.yaml")
    assert len(raised.value.problems) == len(messages)
    for message in messages:
        assert message in str(raised.value)


def test_a_mask_read_by_colour_must_show_some(tmp_path: Path) -> None:
    table = Values((("0,0,0", 0), ("9,9,9", 1)))
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / "grey.png")
    assert (decode_mask(tmp_path / "grey.png", "x", values=table) == 1).all()
    Image.fromarray(np.full((4, 4), 9, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ProblemsError, match="RGB or grey of 8 bits"):
        decode_mask(tmp_path / "deep.png", "x", values=table)
    Image.fromarray(np.full((4, 4), 8, np.uint8)).save(tmp_path / "other.png")
    with pytest.raises(ProblemsError, match="every value must have a label, got 8,8,8"):
        decode_mask(tmp_path / "other.png", "x", values=table)


def test_labels_with_a_void_far_beyond_are_no_soft_edge(tmp_path: Path) -> None:
    masks = labels(21)
    masks[masks > 9] = 0
    masks[:, :4] = 255
    remedy = check(str(write_frames(tmp_path, masks)), DataOptions()).remedy
    assert yaml.safe_load(remedy)["values"] == {255: 10}
