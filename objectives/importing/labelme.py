"""LabelMe's JSON: a file for each image, beside it, with shapes in pixels."""

import base64
import binascii
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from objectives.errors import ProblemsError
from objectives.importing.drawing import Outlines, Pixels, Shape
from objectives.importing.export import Annotated, Export, Part, find_image, read_json

CORNERS_OF_CIRCLE = 90


class Drawn(Part):
    """A shape."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str = "polygon"
    mask: str | None = None  # a PNG in base64, of the box that the points are


class LabelMe(Part):
    """The whole file."""

    shapes: list[Drawn]
    imagePath: str  # as the file has it
    imageHeight: int
    imageWidth: int
    imageData: str | None = None  # the image's file in base64


def read_labelme(folder: Path, folders: Sequence[Path]) -> Export:
    """Return the export of a folder of such files, whose images lie beside them, in one of the folders, or inside them."""
    export = Export([])
    for path in sorted(folder.rglob("*.json")):
        try:
            held = read_json(path, LabelMe)
        except ProblemsError as error:
            export.problems += error.problems
            continue
        shown = path.relative_to(folder).as_posix()
        file = _image(held, [path.parent, *folders])
        if file is None:
            export.problem(shown, "its image must lie beside it", held.imagePath)
            continue
        shapes = [
            Shape(each.label, where)
            for number, each in enumerate(held.shapes)
            if (where := _where(each, f"{shown}: shapes.{number}", export))
        ]
        name = path.relative_to(folder).with_suffix(_suffix(held, file)).as_posix()
        export.images.append(Annotated(file, name, (held.imageHeight, held.imageWidth), shapes))
    export.names = sorted({shape.name for image in export.images for shape in image.shapes})
    return export


def _image(held: LabelMe, folders: Sequence[Path]) -> Path | bytes | None:
    if found := find_image(held.imagePath, folders):
        return found.file
    try:
        return base64.b64decode(held.imageData, validate=True) if held.imageData else None
    except binascii.Error:
        return None


def _suffix(held: LabelMe, file: Path | bytes) -> str:
    return file.suffix if isinstance(file, Path) else Path(held.imagePath).suffix.lower() or ".png"


def _where(drawn: Drawn, place: str, export: Export) -> Outlines | Pixels | None:
    points = np.array(drawn.points, float).reshape(-1, 2)
    needed: dict[str, Any] = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2}
    if drawn.shape_type not in needed:
        export.left_out[f"shapes of type {drawn.shape_type}, which has no area"] += 1
        return None
    if len(points) < needed[drawn.shape_type]:
        rule = f"a {drawn.shape_type} must have {needed[drawn.shape_type]} points or more"
        export.problem(place, rule, len(points))
        return None
    match drawn.shape_type:
        case "polygon":
            return Outlines((points,))
        case "rectangle":
            if len(points) > 2:
                return Outlines((points,))
            (left, top), (right, bottom) = points[0], points[1]
            box = [(left, top), (right, top), (right, bottom), (left, bottom)]
            return Outlines((np.array(box),))
        case "circle":
            angles = np.linspace(0.0, 2.0 * np.pi, CORNERS_OF_CIRCLE, endpoint=False)
            radius = float(np.hypot(*(points[1] - points[0])))
            around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            return Outlines((points[0] + radius * around,))
        case _:
            return _pixels(drawn, points, place, export)


def _pixels(drawn: Drawn, points: np.ndarray, place: str, export: Export) -> Pixels | None:
    try:
        data = base64.b64decode(drawn.mask or "", validate=True)
        with Image.open(io.BytesIO(data)) as opened:
            inside = np.array(opened.convert("L")) > 0
    except (OSError, binascii.Error, ValueError) as error:
        export.problem(place, "its mask must be a PNG in base64", error)
        return None
    left, top = points.min(axis=0)
    return Pixels(inside, round(top), round(left))
