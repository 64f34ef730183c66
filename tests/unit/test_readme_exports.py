"""The README's examples of other people's exports, line by line, each on a tiny export of that tool."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from objectives.data.options import AS_FILES_SAY
from objectives.data.reading.source import open_source
from search.cli.app import answer
from tests.support.readme import examples_of

EXAMPLES = examples_of("Your exports")
COUNT, HEIGHT, WIDTH = 9, 18, 24  # of ten frames with one mask, all would be dropped
# label images: a square of 1 in the middle, in most of them one of 2 below it
SHOWN = np.zeros((COUNT, HEIGHT, WIDTH), np.uint8)
SHOWN[:, 4:10, 6:16] = 1
SHOWN[:, 12:16, 2:8] = 2


def images(folder: Path, suffix: str = ".jpg", stems: tuple[str, ...] = ()) -> list[Path]:
    """Pictures of noise, each other than the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(0)
    paths = [folder / f"{stem}{suffix}" for stem in stems or (f"f{k:02}" for k in range(COUNT))]
    for path in paths:
        Image.fromarray(dice.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(path)
    return paths


def coloured(mask_HW: np.ndarray, path: Path, colours: dict[int, int | tuple[int, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.array([colours[label] for label in range(len(colours))], np.uint8)
    Image.fromarray(table[mask_HW]).save(path)


def cvat(root: Path) -> np.ndarray:
    folder = root / "task-7"
    colours: dict[int, int | tuple[int, ...]] = {0: (0, 0, 0), 1: (250, 50, 83), 2: (50, 183, 250)}
    for path, mask_HW in zip(images(folder / "JPEGImages"), SHOWN, strict=True):
        coloured(mask_HW, folder / "SegmentationClass" / f"{path.stem}.png", colours)
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("".join(f"f{k:02}\n" for k in range(COUNT)))
    (folder / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:250,50,83::\nroad:50,183,250::\n"
    )
    return SHOWN


def corners(label: int) -> list[tuple[int, int]]:
    """Of the square of a label, x and y."""
    rows, columns = np.nonzero(SHOWN[0] == label)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def coco(root: Path) -> np.ndarray:
    paths = images(root / "photos")
    numbered = list(enumerate(paths))
    content = {
        "images": [
            {"id": k, "file_name": path.name, "height": HEIGHT, "width": WIDTH}
            for k, path in numbered
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "road"}],
        "annotations": [
            {
                "image_id": k,
                "category_id": label,
                "segmentation": [np.ravel(corners(label)).tolist()],
            }
            for k, _ in numbered
            for label in (1, 2)
        ],
    }
    (root / "instances.json").write_text(json.dumps(content))
    return SHOWN


def label_studio(root: Path) -> np.ndarray:
    def result(label: int) -> dict[str, object]:
        points = (np.array(corners(label)) * 100 / (WIDTH, HEIGHT)).tolist()
        return {
            "type": "polygonlabels",
            "value": {"points": points, "polygonlabels": [("car", "road")[label - 1]]},
            "original_width": WIDTH,
            "original_height": HEIGHT,
        }

    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/upload/7/{path.name}"},
            "annotations": [{"result": [result(1), result(2)]}],
        }
        for number, path in enumerate(images(root / "upload"))
    ]
    (root / "project-7.json").write_text(json.dumps(tasks))
    return SHOWN


def cityscapes(root: Path) -> np.ndarray:
    """Label 2 is sky there, which the example leaves out."""
    colours: dict[int, int | tuple[int, ...]] = {0: 7, 1: 26, 2: 23}
    for part, town in (("train", "aachen"), ("val", "bochum"), ("test", "bonn")):
        stems = tuple(f"{town}_{number:06}_000019" for number in range(3))
        images(root / "cityscapes/leftImg8bit" / part / town, "_leftImg8bit.png", stems)
        for number, stem in enumerate(stems):
            mask = root / "cityscapes/gtFine" / part / town / f"{stem}_gtFine_labelIds.png"
            mask_HW = SHOWN[0].copy()
            mask_HW[0, : number + 1] = 3
            coloured(mask_HW, mask, colours | {3: 11})
    expected = np.array([0, 2, 255, 1], np.uint8)[SHOWN]
    for number in range(COUNT):
        expected[number, 0, : number % 3 + 1] = 1
    return expected


def kaggle_folders(root: Path) -> np.ndarray:
    colours: dict[int, int | tuple[int, ...]] = {0: 0, 1: 255, 2: 0}
    for path, mask_HW in zip(images(root / "carvana/train"), SHOWN, strict=True):
        coloured(mask_HW, root / "carvana/train_masks" / f"{path.stem}_mask.gif", colours)
    return np.where(SHOWN == 1, 1, 0)


def kaggle_tables(root: Path) -> np.ndarray:
    lines = ["ImageId,ClassId,EncodedPixels"]
    for path in images(root / "train"):
        for label in (1, 2):
            left, top, right, bottom = *corners(label)[0], *corners(label)[2]
            runs = [f"{x * HEIGHT + top + 1} {bottom - top}" for x in range(left, right)]
            lines.append(f"{path.name},{label},{' '.join(runs)}")
    (root / "train.csv").write_text("\n".join(lines))
    return SHOWN


MAKERS: dict[str, Callable[[Path], np.ndarray]] = {
    "CVAT": cvat,
    "COCO": coco,
    "Label Studio": label_studio,
    "Cityscapes": cityscapes,
    "Kaggle folders": kaggle_folders,
    "Kaggle tables": kaggle_tables,
}


def test_each_example_that_can_be_typed_has_its_export_here() -> None:
    assert set(MAKERS) == set(EXAMPLES) - {"With four GPUs"}


@pytest.mark.parametrize("name", MAKERS)
def test_the_lines_of_an_example_read_what_the_tool_has_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = MAKERS[name](tmp_path)
    folder = shlex.split(EXAMPLES[name].lines[-1])[-1]
    for file, text in EXAMPLES[name].files.items():
        (tmp_path / folder / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    for line in EXAMPLES[name].lines:
        program, *words = shlex.split(line)
        assert program == "search"
        assert answer(words) == 0, capsys.readouterr()
    source = open_source(folder, AS_FILES_SAY)
    assert len(source.names) == COUNT
    masks = [source.mask(source.names.index(each)) for each in sorted(source.names)]
    np.testing.assert_array_equal(masks, expected)
