"""Exports of labelling tools become folders of frames that the data reader takes."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from objectives.data.dataset import DataOptions, check
from objectives.errors import ProblemsError, UserError
from objectives.importing.folder import Imported, write_export
from objectives.importing.formats import read_export
from search.cli.actions.data_import import import_export

HEIGHT, WIDTH = 20, 30
SQUARE = [4.0, 4.0, 14.0, 4.0, 14.0, 14.0, 4.0, 14.0]  # x, y from 4 to 14
SMALL = [8.0, 8.0, 10.0, 8.0, 10.0, 10.0, 8.0, 10.0]


def picture(path: Path, *, seed: int = 0, orientation: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    tags = Image.Exif()
    if orientation:
        tags[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=tags)
    return path


def written_as(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def imported(source: Path, out: Path, **options: Any) -> Imported:
    images, form = options.get("images"), options.get("form")
    unlabelled = options.get("unlabelled", "background")
    return write_export(read_export(source, images, form), out, unlabelled)


def mask(out: Path, name: str) -> np.ndarray:
    return np.array(Image.open(out / "masks" / f"{name}.png"))


def square_and_small(ground: int = 0, square: int = 1, small: int = 2) -> np.ndarray:
    expected = np.full((HEIGHT, WIDTH), ground)
    expected[4:14, 4:14] = square
    expected[8:10, 8:10] = small
    return expected


def coco(root: Path, **changes: Any) -> Path:
    picture(root / "images" / "a.jpg")
    picture(root / "images" / "sub" / "b.jpg", seed=1)
    content: dict[str, Any] = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT},
            {"id": 2, "file_name": "sub/b.jpg", "width": WIDTH, "height": HEIGHT, "license": 1},
        ],
        "categories": [
            {"id": 0, "name": "everything"},
            {"id": 7, "name": "stone"},
            {"id": 9, "name": "cell"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 9, "segmentation": [SMALL], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 7, "segmentation": [SQUARE], "iscrowd": 0},
            {
                "id": 3,
                "image_id": 2,
                "category_id": 7,
                "iscrowd": 1,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": [2, 5, HEIGHT * WIDTH - 7]},
            },
            {"id": 4, "image_id": 2, "category_id": 7, "bbox": [0, 0, 5, 5], "segmentation": []},
        ],
    }
    return written_as(root / "instances.json", content | changes)


def test_coco_polygons_and_runs_become_masks_that_the_reader_takes(tmp_path: Path) -> None:
    found = imported(coco(tmp_path / "export"), tmp_path / "frames")
    assert found.frames == 2
    assert dict(found.objects) == {"stone": 2, "cell": 1}
    assert dict(found.left_out) == {"objects with a box and no outline": 1}
    assert found.unused == ["everything"]
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), square_and_small())
    runs = np.zeros(HEIGHT * WIDTH, int)
    runs[2:7] = 1
    np.testing.assert_array_equal(mask(tmp_path / "frames", "sub/b"), runs.reshape(WIDTH, HEIGHT).T)
    report = check(str(tmp_path / "frames"), DataOptions(shares=(0.5, 0.5, 0.0)))
    assert [name for name, _ in report.classes] == ["background", "stone", "cell"]
    assert report.frames == 2
    original = (tmp_path / "export" / "images" / "a.jpg").read_bytes()
    assert (tmp_path / "frames" / "images" / "a.jpg").read_bytes() == original


def test_two_images_or_categories_of_one_id_are_problems(tmp_path: Path) -> None:
    """As in two files that were put together: their objects would be mixed."""
    images = [
        {"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for name in ("a.jpg", "sub/b.jpg")
    ]
    categories = [{"id": 7, "name": "stone"}, {"id": 7, "name": "cell"}]
    export = coco(tmp_path / "export", images=images, categories=categories, annotations=[])
    with pytest.raises(ProblemsError) as raised:
        imported(export, tmp_path / "frames")
    assert "instances.json: images: each must have an id of its own, got 1, 2 times" in str(
        raised.value
    )
    assert "instances.json: categories: each must have an id of its own, got 7, 2 times" in str(
        raised.value
    )


def test_an_image_lies_where_its_whole_path_says_whatever_else_has_its_name(tmp_path: Path) -> None:
    root = tmp_path / "export"
    export = coco(root)
    (root / "images" / "sub").rename(root / "images" / "x")
    images = [{"id": 1, "file_name": "x/b.jpg", "width": WIDTH, "height": HEIGHT}]
    export = coco(
        root, images=images, annotations=json.loads(export.read_text())["annotations"][:2]
    )
    right = picture(root / "images" / "x" / "b.jpg", seed=5).read_bytes()
    picture(root / "b.jpg", seed=6)
    imported(export, tmp_path / "frames")
    (found,) = (tmp_path / "frames" / "images").rglob("*.jpg")
    assert found.read_bytes() == right


@pytest.mark.parametrize("standing", ["a file", "a folder with a file in it"])
def test_what_stands_there_is_never_replaced(tmp_path: Path, standing: str) -> None:
    mine = tmp_path / "frames" if standing == "a file" else tmp_path / "frames" / "mine"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("years of work")
    with pytest.raises(UserError, match="choose a new folder for --out"):
        import_export(coco(tmp_path / "export"), tmp_path / "frames", None, None, "background")
    assert mine.read_text() == "years of work"


def test_pixels_of_no_object_can_be_ignored_instead(tmp_path: Path) -> None:
    imported(coco(tmp_path / "export"), tmp_path / "frames", unlabelled="ignored")
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), square_and_small(255, 0, 1))
    report = check(str(tmp_path / "frames"), DataOptions(shares=(0.5, 0.5, 0.0)))
    assert [name for name, _ in report.classes][:2] == ["stone", "cell"]
    assert "ignore: 255" in (tmp_path / "frames" / "classes.yaml").read_text()


def test_a_class_called_background_is_the_ground(tmp_path: Path) -> None:
    names = [{"id": 7, "name": "stone"}, {"id": 9, "name": "_background_"}]
    imported(coco(tmp_path / "export", categories=names), tmp_path / "frames")
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), square_and_small(0, 1, 0))


def test_every_problem_of_a_coco_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    wrong = [
        {"image_id": 5, "category_id": 7, "segmentation": [SQUARE]},
        {"image_id": 1, "category_id": 8, "segmentation": [SQUARE]},
        {"image_id": 1, "category_id": 7, "segmentation": [[1, 2, 3, 4]]},
        {"image_id": 1, "category_id": 7, "segmentation": {"size": [5, 5], "counts": [25]}},
        {"image_id": 1, "category_id": 7, "segmentation": {"size": [20, 31], "counts": "2S"}},
    ]
    images = [
        {"id": 1, "file_name": "a.jpg", "width": WIDTH + 1, "height": HEIGHT},
        {"id": 2, "file_name": "c.jpg", "width": WIDTH, "height": HEIGHT},
    ]
    source = coco(tmp_path / "export", annotations=wrong, images=images)
    with pytest.raises(ProblemsError) as raised:
        imported(source, tmp_path / "frames")
    message = str(raised.value)
    for part in (
        "annotations.0: image_id must be that of an image, got 5",
        "annotations.1: category_id must be that of a category, got 8",
        "annotations.2.segmentation: must be polygons",
        "annotations.3.segmentation: must have the image's size (20, 31), got (5, 5)",
        "annotations.4.segmentation: must be runs of 20x31 pixels",
        "c.jpg: must lie in the folder of images (--images names it), got none in",
        "a.jpg: must have the size of the export, 20 x 30 in its file, got 20 x 31",
    ):
        assert part in message
    assert not (tmp_path / "frames").exists()
    with pytest.raises(ProblemsError, match=r"instances.json: categories.*Field required"):
        read_export(
            written_as(tmp_path / "instances.json", {"annotations": [], "images": []}), None, None
        )


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[float("nan"), 1, 9, 1, 9, 9]], "a.jpg: corners must be finite numbers, got 1 objects"),
        ([[float("inf"), 1, 9, 1, 9, 9]], "a.jpg: corners must be finite numbers, got 1 objects"),
        ({"size": [HEIGHT, WIDTH], "counts": [10**30]}, "must be runs of 20x30 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]}, "must be runs of"),
    ],
)
def test_numbers_that_are_none_are_problems(
    tmp_path: Path, segmentation: object, message: str
) -> None:
    thing = {"image_id": 1, "category_id": 7, "segmentation": segmentation}
    with pytest.raises(ProblemsError, match=message):
        imported(coco(tmp_path / "export", annotations=[thing]), tmp_path / "frames")
    assert not (tmp_path / "frames").exists()


def test_labelme_files_lie_beside_their_images_or_hold_them(tmp_path: Path) -> None:
    root = tmp_path / "export"
    picture(root / "a.jpg")
    inside = picture(tmp_path / "elsewhere" / "b.png", seed=1).read_bytes()
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 2), 255, np.uint8)).save(buffer, "PNG")
    pixels = base64.b64encode(buffer.getvalue()).decode()
    square = np.reshape(SQUARE, (-1, 2)).tolist()
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH, "version": "5.5"}
    shapes = [
        {"label": "cell", "points": [[8, 8], [10, 10]], "shape_type": "mask", "mask": pixels},
        {"label": "stone", "points": square, "shape_type": "polygon"},
        {"label": "stone", "points": [[1, 1]], "shape_type": "point"},
    ]
    written_as(root / "a.json", {"shapes": shapes, "imagePath": "a.jpg", "imageData": None} | size)
    other = [
        {"label": "stone", "points": [[4, 4], [14, 14]], "shape_type": "rectangle"},
        {"label": "cell", "points": [[9, 9], [9, 10]], "shape_type": "circle"},
    ]
    data = base64.b64encode(inside).decode()
    held = {"shapes": other, "imagePath": "..\\photos\\b.png", "imageData": data} | size
    written_as(root / "deep" / "b.json", held)
    found = imported(root, tmp_path / "frames")
    assert dict(found.left_out) == {"shapes of type point, which has no area": 1}
    # classes of LabelMe are in the order of their names
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), square_and_small(0, 2, 1))
    np.testing.assert_array_equal(mask(tmp_path / "frames", "deep/b"), square_and_small(0, 2, 1))
    assert (tmp_path / "frames" / "images" / "deep" / "b.png").read_bytes() == inside


def test_a_rectangle_of_labelme_may_have_all_its_corners(tmp_path: Path) -> None:
    root = tmp_path / "export"
    picture(root / "a.jpg")
    corners = np.reshape(SQUARE, (-1, 2)).tolist()
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    shapes = [{"label": "stone", "points": corners, "shape_type": "rectangle"}]
    written_as(root / "a.json", {"shapes": shapes, "imagePath": "a.jpg"} | size)
    imported(root, tmp_path / "frames")
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), square_and_small(small=1))


def test_yolo_texts_lie_in_labels_and_parts_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "export"
    for part, name in (("train", "a"), ("valid", "b"), ("valid", "empty")):
        picture(root / part / "images" / f"{name}.jpg", seed=ord(name[0]))
    shares = (np.reshape(SQUARE, (-1, 2)) / (WIDTH, HEIGHT)).ravel()
    small = (np.reshape(SMALL, (-1, 2)) / (WIDTH, HEIGHT)).ravel()
    text = f"1 {' '.join(map(str, small))}\n0 {' '.join(map(str, shares))}\n"
    for part, name in (("train", "a"), ("valid", "b")):
        (root / part / "labels").mkdir()
        (root / part / "labels" / f"{name}.txt").write_text(text + "1 0.5 0.5 0.1 0.1\n")
    # as Roboflow writes it: a step up that is none
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: [stone, cell]\n"
    )
    found = imported(root, tmp_path / "frames")
    assert dict(found.left_out) == {"objects with a box and no outline": 2}
    np.testing.assert_array_equal(mask(tmp_path / "frames", "train/a"), square_and_small())
    assert (mask(tmp_path / "frames", "val/empty") == 0).all()
    report = check(str(tmp_path / "frames"), DataOptions())
    assert dict(report.parts) == {"train": 1, "validation": 2, "test": 0}
    (root / "train" / "labels" / "a.txt").write_text("5 0 0 1 0 1 1\n0 0 0 2 0 1 1\n0 a\n0 1 1 0\n")
    with pytest.raises(ProblemsError) as raised:
        imported(root, tmp_path / "again")
    for part in (
        "a.txt line 1: the class must be among the 2",
        "a.txt line 2: corners must be shares of width and height, 0 to 1, got 2.0",
        "a.txt line 3: must be a class and numbers",
        "a.txt line 4: must be x y x y",
    ):
        assert part in str(raised.value)


def label_studio(root: Path, results: list[dict[str, Any]], **task: Any) -> Path:
    picture(root / "images" / "a.jpg")
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    marked = [each | size for each in results]
    content = {
        "id": 4,
        "data": {"image": "/data/upload/3/0badcafe-a.jpg"},
        "annotations": [{"result": marked, "was_cancelled": False}],
    }
    nobody = {"id": 5, "data": {"image": "/data/upload/3/b.jpg"}, "annotations": []}
    return written_as(root / "project-3.json", [content | task, nobody])


def per_cent(points: list[float]) -> list[list[float]]:
    return (np.reshape(points, (-1, 2)) / (WIDTH, HEIGHT) * 100).tolist()


def test_the_data_yaml_of_yolo_is_read_as_ours_are(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\ntrain: images\nnames: *b\n"
    (tmp_path / "data.yaml").write_text(bomb)
    with pytest.raises(ProblemsError, match="an alias, which this file may not have"):
        imported(tmp_path / "data.yaml", tmp_path / "frames")


def test_label_studios_results_are_in_per_cent(tmp_path: Path) -> None:
    box = {"x": 4 / 0.3, "y": 4 / 0.2, "width": 10 / 0.3, "height": 10 / 0.2, "rotation": 0}
    results = [
        {"type": "rectanglelabels", "value": box | {"rectanglelabels": ["stone"]}},
        {
            "type": "polygonlabels",
            "value": {"points": per_cent(SMALL), "polygonlabels": ["cell"]},
        },
        {"type": "keypointlabels", "value": {"x": 1, "y": 1, "keypointlabels": ["cell"]}},
        {"type": "choices", "value": {"choices": ["sharp"]}},
    ]
    found = imported(label_studio(tmp_path / "export", results), tmp_path / "frames")
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), square_and_small(0, 2, 1))
    assert dict(found.left_out) == {
        "results of type keypointlabels, which has no area": 1,
        "images that nobody has annotated": 1,
    }


def test_results_of_label_studio_may_leave_the_size_to_the_image(tmp_path: Path) -> None:
    shapes = [("stone", SQUARE), ("cell", SMALL)]
    results = [
        {"type": "polygonlabels", "value": {"points": per_cent(points), "polygonlabels": [name]}}
        for name, points in shapes
    ]
    export = label_studio(tmp_path / "export", results)
    content = json.loads(export.read_text())
    for kept in (1, 0):  # one of the two has it, then none
        del content[0]["annotations"][0]["result"][kept]["original_width"]
        written_as(export, content)
        imported(export, tmp_path / f"frames{kept}")
        np.testing.assert_array_equal(
            mask(tmp_path / f"frames{kept}", "a"), square_and_small(0, 2, 1)
        )


def test_a_turned_box_and_an_ellipse_of_label_studio_lie_where_it_shows_them(
    tmp_path: Path,
) -> None:
    # turned by 90 degrees clockwise about its upper left corner, (14, 4): it lies below and to the left
    box = {"x": 14 / 0.3, "y": 4 / 0.2, "width": 10 / 0.3, "height": 10 / 0.2, "rotation": 90}
    around = {"x": 9 / 0.3, "y": 9 / 0.2, "radiusX": 1.2 / 0.3, "radiusY": 1.2 / 0.2}
    results = [
        {"type": "rectanglelabels", "value": box | {"rectanglelabels": ["stone"]}},
        {"type": "ellipselabels", "value": around | {"ellipselabels": ["cell"]}},
    ]
    imported(label_studio(tmp_path / "export", results), tmp_path / "frames")
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), square_and_small(0, 2, 1))


def test_two_annotations_of_a_task_are_the_users_to_choose_from(tmp_path: Path) -> None:
    both = [{"result": []}, {"result": []}]
    source = label_studio(tmp_path / "export", [], annotations=both)
    with pytest.raises(ProblemsError, match="task 4: must have one annotation: keep that which"):
        imported(source, tmp_path / "frames")


def test_images_that_are_turned_while_their_shapes_are_not_are_counted(tmp_path: Path) -> None:
    source = coco(tmp_path / "export")
    picture(tmp_path / "export" / "images" / "a.jpg", orientation=6)
    assert imported(source, tmp_path / "frames").turned == 1


def test_what_is_no_export_is_refused_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "nothing", tmp_path / "empty", picture(tmp_path / "a.png")):
        with pytest.raises(UserError, match="name a COCO JSON, a folder of LabelMe JSONs"):
            read_export(source, None, None)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ProblemsError, match=r"broken.json: must be readable JSON"):
        read_export(broken, None, None)
    with pytest.raises(UserError, match="nothing of yolo is recognised"):
        read_export(coco(tmp_path / "export"), None, "yolo")


def runs(root: Path, *lines: str, header: str = "ImageId,EncodedPixels") -> Path:
    picture(root / "images" / "a.jpg")
    picture(root / "images" / "b.jpg", seed=1)
    (root / "train.csv").write_text("\n".join([header, *lines]))
    return root / "train.csv"


def test_the_lines_of_an_image_are_its_objects_and_empty_ones_are_none(tmp_path: Path) -> None:
    """The first pixel is 1, the second lies below it: 22 is the second of the second column."""
    found = imported(runs(tmp_path, "a.jpg,1 3 22 1", "a.jpg,600 1", "b.jpg,"), tmp_path / "frames")
    assert (found.frames, dict(found.objects)) == (2, {"object": 2})
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[:3, 0] = expected[1, 1] = expected[-1, -1] = 1
    np.testing.assert_array_equal(mask(tmp_path / "frames", "a"), expected)
    assert not mask(tmp_path / "frames", "b").any()


def test_a_cell_of_runs_may_be_long(tmp_path: Path) -> None:
    many = "1 2 " * 50_000
    assert imported(runs(tmp_path, f"a,{many}"), tmp_path / "frames").frames == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.jpg,1 3 22", "train.csv line 2: must be starts and lengths of runs in 20x30 pixels"),
        ("a.jpg,0 3", "counted from 1, got 0 3"),
        ("a.jpg,599 3", "got 599 3"),
        ("a.jpg,1 x", "got x"),
        ("a.jpg,1 -3", "got -3"),
        ("c.jpg,1 3", "c.jpg: must lie in the folder of images"),
        (",1 3", "train.csv line 2: must lie in the folder of images"),
    ],
)
def test_a_table_of_runs_that_breaks_its_rules(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ProblemsError, match=re.escape(words)):
        imported(runs(tmp_path, line, "b.jpg,1 2"), tmp_path / "frames")


def test_a_table_of_other_columns_is_no_export(tmp_path: Path) -> None:
    source = runs(tmp_path, "a.jpg,3", header="file,group")
    with pytest.raises(UserError, match="or a CSV of Kaggle's runs"):
        imported(source, tmp_path / "frames")
    with pytest.raises(UserError, match="nothing of kaggle is recognised"):
        imported(source, tmp_path / "frames", form="kaggle")
    with pytest.raises(ProblemsError, match=r"a column of images .* got no line"):
        imported(runs(tmp_path), tmp_path / "frames")


def test_two_images_of_one_name_would_share_a_mask(tmp_path: Path) -> None:
    images = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for number, name in ((1, "a.jpg"), (2, "a.png"))
    ]
    source = coco(tmp_path / "export", images=images)
    picture(tmp_path / "export" / "images" / "a.png")
    with pytest.raises(ProblemsError, match=r"must be the only image of its name.*a.jpg, a.png"):
        imported(source, tmp_path / "frames")


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/secret.jpg"])
def test_names_do_not_lead_out_of_the_new_folder(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "secret.jpg")
    images = [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}]
    thing = {"image_id": 1, "category_id": 7, "segmentation": [SQUARE]}
    source = coco(tmp_path / "a" / "export", images=images, annotations=[thing])
    if name.startswith("/"):
        with pytest.raises(ProblemsError, match="must lie in the folder of images"):
            imported(source, tmp_path / "frames")
        return
    imported(source, tmp_path / "frames")
    assert [each.name for each in (tmp_path / "frames" / "images").iterdir()] == ["secret.jpg"]


def test_an_export_given_as_data_leads_to_its_import(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [stone]\n")
    for source in (tmp_path, tmp_path / "data.yaml", coco(tmp_path / "export")):
        (problem,) = check(str(source), DataOptions()).problems
        assert "turned into frames by `search data import`" in str(problem)
