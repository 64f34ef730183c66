"""Label Studio's JSON: a list of tasks, each with an image and the results of its annotation, in per cent of its size."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from pydantic import Field

from objectives.importing.drawing import Outlines, Pixels, Shape
from objectives.importing.export import (
    SUFFIXES,
    Annotated,
    Export,
    Part,
    find_image,
    read_json,
    stored_size,
)
from objectives.importing.run_lengths import from_brush

CORNERS_OF_ELLIPSE = 90
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # put before the name of a file that was uploaded


class Result(Part):
    """An object; results of other kinds have none of it."""

    type: str
    original_width: int = 0
    original_height: int = 0
    value: dict[str, Any] = Field(default_factory=dict)


class Annotation(Part):
    """What one person has marked in an image."""

    result: list[Result]
    was_cancelled: bool = False


class Task(Part):
    """An image, by where the tool has it, and who has marked it."""

    id: int | str = ""
    data: dict[str, Any]
    annotations: list[Annotation]


def read_label_studio(path: Path, folders: Sequence[Path]) -> Export:
    """Return the export of a file, whose images lie in one of the folders.

    Raises:
        ProblemsError: It is no such file.
    """
    export = Export([])
    for task in read_json(path, list[Task]):
        where = f"{path.name}: task {task.id}"
        done = [each for each in task.annotations if not each.was_cancelled]
        if not done:
            export.left_out["images that nobody has annotated"] += 1
            continue
        if len(done) > 1:
            export.problem(where, "must have one annotation: keep that which counts", len(done))
            continue
        named = _image_name(task.data)
        found = find_image(named, folders) or find_image(_UPLOADED.sub("", named), folders)
        if found is None:
            looked = ", ".join(map(str, folders))
            export.problem(
                where,
                "its image must lie in the folder of images (--images names it)",
                f"{named!r}, none in {looked}",
            )
            continue
        marked = done[0].result
        stated = [(each.original_height, each.original_width) for each in marked]
        sizes = {size for size in stated if all(size)}
        if len(sizes) > 1:
            export.problem(where, "its results must be of one size", sorted(sizes))
            continue
        try:
            size = sizes.pop() if sizes else stored_size(found.file).shown
        except OSError as error:
            export.problem(where, f"{found.name} must be an image", error)
            continue
        shapes = [shape for each in marked if (shape := _shape(each, size, where, export))]
        export.images.append(Annotated(found.file, found.name, size, shapes))
    export.names = sorted({shape.name for image in export.images for shape in image.shapes})
    return export


def _image_name(data: dict[str, Any]) -> str:
    """Return the name of the file that a task shows: of ``image``, or of the first value that looks like one."""
    values = [data["image"]] if isinstance(data.get("image"), str) else list(data.values())
    for value in values:
        if isinstance(value, str):
            address = urlsplit(value)
            inside = parse_qs(address.query).get("d", [""])[0]  # of local storage
            name = Path(unquote(inside or address.path)).name
            if Path(name).suffix.lower() in SUFFIXES:
                return name
    return ""


def _shape(result: Result, size: tuple[int, int], where: str, export: Export) -> Shape | None:
    if not result.type.endswith("labels"):  # a choice, a rating, a relation
        return None
    names = result.value.get(result.type)
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        export.problem(where, f"a result of type {result.type} must have one label", names)
        return None
    height, width = size
    percent = np.array([width, height]) / 100.0
    value = result.value
    try:
        match result.type:
            case "polygonlabels":
                found: Outlines | Pixels = Outlines((np.array(value["points"], float) * percent,))
            case "rectanglelabels":
                found = Outlines((_rectangle(value, percent),))
            case "ellipselabels":
                found = Outlines((_ellipse(value, percent),))
            case "brushlabels":
                found = Pixels(from_brush(value["rle"], height, width))
            case kind:
                export.left_out[f"results of type {kind}, which has no area"] += 1
                return None
    except (KeyError, TypeError, ValueError) as error:
        export.problem(where, f"a result of type {result.type} must be whole", error)
        return None
    return Shape(names[0], found)


def _rectangle(value: dict[str, Any], percent: np.ndarray) -> np.ndarray:
    """Return the corners of a box that is turned about its upper left one."""
    corner = np.array([value["x"], value["y"]], float) * percent
    across, down = np.array([value["width"], value["height"]], float) * percent
    box = np.array([(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)])
    return np.asarray(corner + box @ _turned(value))


def _ellipse(value: dict[str, Any], percent: np.ndarray) -> np.ndarray:
    angles = np.linspace(0.0, 2.0 * np.pi, CORNERS_OF_ELLIPSE, endpoint=False)
    radii = np.array([value["radiusX"], value["radiusY"]], float) * percent
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
    centre = np.array([value["x"], value["y"]], float) * percent
    return np.asarray(centre + around @ _turned(value))


def _turned(value: dict[str, Any]) -> np.ndarray:
    """Return the matrix that turns rows x, y clockwise, as y points down."""
    angle = np.deg2rad(float(value.get("rotation", 0.0)))
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
