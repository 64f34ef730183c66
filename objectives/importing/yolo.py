"""YOLO's layout: a ``data.yaml``, and beside each image a text of polygons in shares of its width and height.

Source: the segmentation data format of Ultralytics.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from objectives.data.reading.yaml_file import read_yaml
from objectives.errors import Problem, ProblemsError
from objectives.importing.drawing import Outlines, Shape
from objectives.importing.export import SUFFIXES, Annotated, Export, name_in_folder, stored_size

PARTS = ("train", "val", "test")  # and the folders of a folder of frames that are these parts
NUMBERS_OF_BOX = 4


def read_yolo(path: Path) -> Export:
    """Return the export of a ``data.yaml``.

    Raises:
        ProblemsError: It is no such file.
    """
    content = _settings(path)
    names = _names(content, path)
    export = Export([names[label] for label in sorted(names)])
    seen: set[Path] = set()
    for part in PARTS:
        given = content.get(part) or []
        for entry in given if isinstance(given, list) else [given]:
            found = _existing(str(entry), content, path)
            if found is None:
                export.problem(
                    f"{path.name}: {part}", "must be a folder or a list of images", entry
                )
                continue
            for image in _images(found):
                if image not in seen:
                    seen.add(image)
                    _add(export, image, f"{part}/{name_in_folder(image, found)}", names)
    return export


def _settings(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict) or not any(part in content for part in PARTS):
        raise ProblemsError(
            str(path), [Problem(path.name, "must name train:, val: or test: images", str(content))]
        )
    return content


def _names(content: dict[str, Any], path: Path) -> dict[int, str]:
    given = content.get("names")
    names = dict(enumerate(given)) if isinstance(given, list) else given
    sound = isinstance(names, dict) and all(
        isinstance(label, int) and isinstance(name, str) for label, name in names.items()
    )
    if not sound or not names:
        rule = "names: must be a list or a mapping of class names"
        raise ProblemsError(str(path), [Problem(path.name, rule, str(given))])
    return dict(names)


def _existing(entry: str, content: dict[str, Any], path: Path) -> Path | None:
    """Return the place that an entry means: below ``path:``, below the file, or there without the steps up that exports of
    some tools have.
    """
    roots = [path.parent / str(content.get("path") or ""), path.parent]
    candidates = [root / entry for root in roots]
    candidates.append(path.parent / entry.replace("../", "").removeprefix("./"))
    return next((each for each in candidates if each.exists()), None)


def _images(found: Path) -> Iterator[Path]:
    if found.is_dir():
        yield from sorted(each for each in found.rglob("*") if each.suffix.lower() in SUFFIXES)
        return
    for line in found.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield found.parent / line.strip()


def _add(export: Export, image: Path, name: str, names: dict[int, str]) -> None:
    try:
        height, width = stored_size(image).shown
    except OSError as error:
        export.problem(str(image), "must be an image", error)
        return
    shapes = []
    labels = _labels(image)
    lines = labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else []
    for number, line in enumerate(lines, 1):
        if line.strip() and (shape := _shape(line, f"{labels.name} line {number}", names, export)):
            polygon_P2 = shape[1] * (width, height)
            shapes.append(Shape(shape[0], Outlines((polygon_P2,))))
    export.images.append(Annotated(image, name, (height, width), shapes))


def _labels(image: Path) -> Path:
    """Return where the text of an image lies: in ``labels`` in place of the last ``images`` of its path."""
    parts = list(image.parts)
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _shape(
    line: str, where: str, names: dict[int, str], export: Export
) -> tuple[str, np.ndarray] | None:
    first, *numbers = line.split()
    try:
        label, points = int(first), np.array([float(each) for each in numbers])
    except ValueError:
        export.problem(where, "must be a class and numbers", line)
        return None
    if label not in names:
        export.problem(where, f"the class must be among the {len(names)} of names:", label)
    elif len(points) == NUMBERS_OF_BOX:
        export.left_out["objects with a box and no outline"] += 1
    elif len(points) < NUMBERS_OF_BOX or len(points) % 2:
        export.problem(
            where, "must be x y x y ... of three corners or more", f"{len(points)} numbers"
        )
    elif points.min() < 0 or points.max() > 1:
        beyond = points[(points < 0) | (points > 1)][0]
        export.problem(where, "corners must be shares of width and height, 0 to 1", beyond)
    else:
        return names[label], points.reshape(-1, 2)
    return None
