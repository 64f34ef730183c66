"""Kaggle's tables of runs: a CSV with a line for each object, whose pixels are starts and lengths of runs
down the columns.

Source: the evaluation pages of Kaggle's segmentation competitions ("pixels are numbered from top to bottom,
then left to right: 1 is pixel (1,1), 2 is pixel (2,1)").
"""

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from objectives.data.reading.frame_table import csv_rows
from objectives.errors import Problem, ProblemsError, UserError
from objectives.importing.drawing import Pixels, Shape
from objectives.importing.export import SUFFIXES, Annotated, Export, Found, find_image, stored_size
from objectives.importing.run_lengths import from_starts

IMAGES = ("imageid", "image_id", "img", "id")
RUNS = ("encodedpixels", "rle_mask", "rle")
CLASSES = ("classid", "class", "label")
JOINED = ("image_label", "imageid_classid")  # an image and a class in one cell
OBJECT = "object"  # the class, where none is named
NOTHING = {"", "-1"}  # runs of an image without an object
LONGEST = 2**31 - 1  # letters of a cell; by itself Python's reader takes 131,072
RULE = (
    f"must have lines, a column of images ({', '.join((*IMAGES, *JOINED))}) and one of runs "
    f"({', '.join(RUNS)})"
)


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what; ``name`` is empty where there are no classes."""

    image: str
    runs: str
    name: str

    @classmethod
    def of(cls, header: Collection[str]) -> "Columns | None":
        """Return those of a header in small letters; None where it is of another kind of table."""
        image = next((each for each in (*JOINED, *IMAGES) if each in header), "")
        runs = next((each for each in RUNS if each in header), "")
        name = next((each for each in CLASSES if each in header), "")
        return cls(image, runs, name) if image and runs else None

    def image_and_class(self, row: Mapping[str, str]) -> tuple[str, str]:
        """Return what a row names."""
        cell = row.get(self.image, "")
        if self.image in JOINED:
            image, _, name = cell.rpartition("_")
            return image, name
        return cell, row.get(self.name, "") or OBJECT


def is_run_table(path: Path) -> bool:
    """Return whether a file looks like such a table, by its first line."""
    try:
        with path.open(encoding="utf-8-sig") as opened:
            header = opened.readline(1000)
    except (OSError, ValueError):
        return False
    return Columns.of([each.strip().lower() for each in re.split("[,;\t]", header)]) is not None


def read_run_table(path: Path, folders: Sequence[Path]) -> Export:
    """Return the export of a table, whose images lie in one of the folders; a name without a suffix is that of
    an image file without it.

    Raises:
        ProblemsError: It is no such table.
    """
    csv.field_size_limit(LONGEST)
    try:
        rows = list(csv_rows(path, ()))
    except (OSError, ValueError, csv.Error, UserError) as error:
        problem = Problem(path.name, "must be a readable CSV", str(error))
        raise ProblemsError(str(path), [problem]) from error
    columns = Columns.of(rows[0][1]) if rows else None
    if columns is None:
        held = ", ".join(rows[0][1]) if rows else "no line"
        raise ProblemsError(str(path), [Problem(path.name, RULE, held)])
    objects = defaultdict[str, list[tuple[str, str, str]]](list)
    for line, row in rows:
        image, name = columns.image_and_class(row)
        objects[image].append((f"{path.name} line {line}", name, row.get(columns.runs, "")))
    export = Export([])
    for image, runs in objects.items():
        _add(export, image, runs, folders)
    names = {shape.name for each in export.images for shape in each.shapes}
    export.names = sorted(names, key=lambda name: (not name.isdecimal(), name.zfill(9)))
    return export


def _add(
    export: Export, image: str, runs: Sequence[tuple[str, str, str]], folders: Sequence[Path]
) -> None:
    """Add an image with the objects of its lines: place, class, and runs of each."""
    found = _found(image, folders)
    if found is None:
        rule = "must lie in the folder of images (--images names it)"
        export.problem(image or runs[0][0], rule, f"none in {', '.join(map(str, folders))}")
        return
    try:
        size = stored_size(found.file).stored
    except OSError as error:
        export.problem(found.name, "must be an image", error)
        return
    shapes = []
    for where, name, text in runs:
        if text in NOTHING:
            continue
        try:
            shapes.append(Shape(name, Pixels(from_starts(text, *size))))
        except ValueError as error:
            rule = (
                f"must be starts and lengths of runs in {size[0]}x{size[1]} pixels, counted from 1"
            )
            export.problem(where, rule, error)
    export.images.append(Annotated(found.file, found.name, size, shapes))


def _found(image: str, folders: Sequence[Path]) -> Found | None:
    names = (image, *(f"{image}{suffix}" for suffix in sorted(SUFFIXES))) if image else ()
    return next((found for name in names if (found := find_image(name, folders))), None)
