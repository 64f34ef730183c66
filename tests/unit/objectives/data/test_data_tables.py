"""Folders whose images and masks a table names: Hugging Face's image folders, and others."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from objectives.data.dataset import DataOptions, open_dataset
from objectives.data.predicting import read_images
from objectives.data.preparing.check import check
from objectives.data.reading.folder import read_folder
from objectives.data.reading.source import source_stamp
from objectives.errors import ProblemsError

COUNT, SIDE = 12, 8
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, SIDE, SIDE, 3)).astype(np.uint8)
MASKS = RNG.integers(0, 3, (COUNT, SIDE, SIDE)).astype(np.uint8)
Row = dict[str, object]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", array)[1].tobytes())


def write_csv(path: Path, rows: list[Row]) -> None:
    lines = [
        ",".join(rows[0]),
        *(",".join(str(cell or "") for cell in row.values()) for row in rows),
    ]
    path.with_suffix(".csv").write_text("\n".join(lines))


def write_jsonl(path: Path, rows: list[Row]) -> None:
    path.with_suffix(".jsonl").write_text("\n".join(json.dumps(row) for row in rows))


def write(
    folder: Path, numbers: Iterable[int], column: str, writing: Callable[[Path, list[Row]], None]
) -> None:
    """Write images and masks of unlike names below a folder, and the table that pairs them."""
    rows: list[Row] = []
    for number in numbers:
        save(folder / f"images/{number:03d}.png", IMAGES[number])
        save(folder / f"truth/m{COUNT - number}.png", MASKS[number])
        rows.append(
            {
                "text": "some caption",
                "file_name": f"images/{number:03d}.png",
                column: f"truth/m{COUNT - number}.png",
            }
        )
    writing(folder / "metadata", rows)


def assert_read(root: Path, names: list[str]) -> None:
    source = read_folder(root)
    assert not source.problems
    assert list(source.names) == names
    for index in range(COUNT):
        assert np.array_equal(source.image(index), IMAGES[index][..., ::-1])
        assert np.array_equal(source.mask(index), MASKS[index])


@pytest.mark.parametrize("writing", [write_csv, write_jsonl])
@pytest.mark.parametrize("column", ["mask_file_name", "label", "annotation", "mask"])
def test_a_table_of_all(
    tmp_path: Path, column: str, writing: Callable[[Path, list[Row]], None]
) -> None:
    write(tmp_path, range(COUNT), column, writing)
    assert_read(tmp_path, [f"images/{number:03d}" for number in range(COUNT)])
    assert [name for name, _ in read_images(tmp_path)][2] == "images/002"


@pytest.mark.parametrize("writing", [write_csv, write_jsonl])
@pytest.mark.parametrize("above", ["", "data/"])
def test_a_table_in_the_folder_of_each_part(
    tmp_path: Path, above: str, writing: Callable[[Path, list[Row]], None]
) -> None:
    # in the order of the folders' names
    parts = {"test": range(3), "train": range(3, 9), "validation": range(9, 12)}
    for part, numbers in parts.items():
        write(tmp_path / above / part, numbers, "label_file_name", writing)
    (tmp_path / "README.md").write_text("a card")
    names = [f"{part}/images/{number:03d}" for part, held in parts.items() for number in held]
    assert_read(tmp_path, names)
    source = read_folder(tmp_path)
    assert source.parts == ("test",) * 3 + ("train",) * 6 + ("validation",) * 3
    data = open_dataset(str(tmp_path), DataOptions(), tmp_path / "cache")
    assert data.parts["validation"].tolist() == [9, 10, 11]
    # what was assumed is printed, and read back as it is
    report = check(str(tmp_path), DataOptions())
    suffix = "csv" if writing is write_csv else "jsonl"
    assert yaml.safe_load(report.assumed["data.yaml"]) == {
        "table": f"{above}{{part}}/metadata.{suffix}",
        "images": "file_name",
        "masks": "label_file_name",
    }
    (tmp_path / "data.yaml").write_text(report.assumed["data.yaml"])
    assert_read(tmp_path, names)


def test_a_table_of_other_columns_with_missing_masks(tmp_path: Path) -> None:
    write(tmp_path, range(COUNT - 1), "truth", write_csv)
    save(tmp_path / "images/none.png", IMAGES[11])
    with (tmp_path / "metadata.csv").open("a") as opened:
        opened.write("\nempty,images/none.png,")
    layout = "table: metadata.csv\nimages: file_name\nmasks: truth\n"
    (tmp_path / "data.yaml").write_text(layout)
    (problem,) = read_folder(tmp_path).problems
    assert str(problem) == "images/none.png: must have a mask, got nothing in its row's truth"
    (tmp_path / "data.yaml").write_text(f"{layout}without_mask: background\nchannels: grey\n")
    source = read_folder(tmp_path)
    assert not source.problems
    assert not source.mask(COUNT - 1).any()
    assert source.image(0).shape == (SIDE, SIDE, 1)


def test_images_in_no_row_are_counted_and_a_change_of_the_table_is_seen(tmp_path: Path) -> None:
    write(tmp_path, range(COUNT), "mask", write_csv)
    stamp = source_stamp(str(tmp_path))
    save(tmp_path / "images/more.png", IMAGES[0])
    assert read_folder(tmp_path).warnings == (
        "1 image files are in no row of a table, and left out",
    )
    (tmp_path / "images/more.png").unlink()
    assert source_stamp(str(tmp_path)) == stamp
    (tmp_path / "metadata.csv").write_text((tmp_path / "metadata.csv").read_text() + "\n")
    assert source_stamp(str(tmp_path)) != stamp


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), (".images", ".masks")])
def test_files_outside_the_folder_of_a_table_and_hidden_ones_are_seen_to_change(
    tmp_path: Path, images: str, masks: str
) -> None:
    rows: list[Row] = []
    for number in range(COUNT):
        save(tmp_path / images / f"{number}.png", IMAGES[number])
        save(tmp_path / masks / f"{number}.png", MASKS[number])
        row = {"image": f"../{images}/{number}.png", "mask": f"../{masks}/{number}.png"}
        rows.append(dict(row))
    (tmp_path / "tables").mkdir()
    write_csv(tmp_path / "tables/t", rows)
    (tmp_path / "data.yaml").write_text("table: tables/t.csv\nimages: image\nmasks: mask\n")
    data = open_dataset(str(tmp_path), DataOptions(), tmp_path / "cache")
    assert data.names[0] == f"{images}/0"
    seen = list(read_images(str(tmp_path)))
    assert [name for name, _ in seen] == [f"{images}/{number}" for number in range(COUNT)]
    np.testing.assert_array_equal(seen[3][1], IMAGES[3][..., ::-1])  # as OpenCV writes
    for number in range(COUNT):
        save(tmp_path / masks / f"{number}.png", 2 - MASKS[number])
    again = open_dataset(str(tmp_path), DataOptions(), tmp_path / "cache")
    np.testing.assert_array_equal(again.masks[0], 2 - data.masks[0])


def test_labels_that_are_words_are_no_masks(tmp_path: Path) -> None:
    for number in range(COUNT):
        save(tmp_path / f"images/{number}.png", IMAGES[number])
        save(tmp_path / f"masks/{number}.png", MASKS[number])
    (tmp_path / "metadata.csv").write_text("file_name,label\nimages/0.png,cat\n")
    assert len(read_folder(tmp_path).names) == COUNT


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,images/000.png,truth/m12.png", "two rows must not name one image"),
        ("x,images/gone.png,truth/m12.png", "file_name must be a PNG, .* got images/gone.png"),
        ("x,images/000.png,../m12.png", r"mask must be a PNG, .* got \.\./m12.png"),
        ("x,images/000.png,/etc/passwd", "mask must be a PNG, .* got /etc/passwd"),
        (f"x,{'n' * 300}.png,truth/m12.png", "file_name must be a PNG, .* got nnnn"),
        ("x,,truth/m12.png", "file_name must be a PNG, .* got nothing"),
        ("x,a,b,c", "metadata.csv: must be CSV or JSON lines with the columns file_name, mask"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, row: str, message: str) -> None:
    write(tmp_path, range(COUNT), "mask", write_csv)
    (tmp_path / "data.yaml").write_text("table: metadata.csv\nimages: file_name\nmasks: mask\n")
    with (tmp_path / "metadata.csv").open("a") as opened:
        opened.write(f"\n{row}")
    report = check(str(tmp_path), DataOptions())
    assert re.search(message, "\n".join(map(str, report.problems)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "a.png", "mask": ["b.png", "c.png"]}', "a list where one file is named"),
        ('{"mask": "b.png"}', "line 1 without file_name"),
        ("[1]", "line 1 that is no object"),
        ("{", "line 1 that is no JSON"),
    ],
)
def test_json_lines_that_cannot_be_used(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    (tmp_path / "data.yaml").write_text("table: a.jsonl\nimages: file_name\nmasks: mask\n")
    with pytest.raises(ProblemsError, match=f"must be CSV or JSON lines .*{message}"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table: a.csv\n", "images: must be a column of the table, got none"),
        ("table: '{stem}.csv'\nimages: a\nmasks: b\n", r"table: may have \{part\} only"),
        ("table: /a.csv\nimages: a\nmasks: b\n", "table: must be a path below the folder"),
        ("table: a.csv\nimages: a\nmasks: b\noverlap: later\n", "may hold table, images"),
        (
            "table: '{part}/a.csv'\nimages: a\nmasks: b\nparts: splits.csv\n",
            r"parts: must not be given where table: has \{part\}",
        ),
        ("table: gone.csv\nimages: a\nmasks: b\n", r"gone.csv: must hold PNG"),
    ],
)
def test_a_wrong_data_yaml_of_a_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ProblemsError, match=message):
        read_folder(tmp_path)
