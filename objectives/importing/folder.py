"""Writing of an export as a folder of frames: images, masks of labels, and classes.yaml."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from objectives.data.reading.classes import (
    CLASS_NAME,
    MOST_CLASSES,
    Classes,
    is_class_name,
    palette,
)
from objectives.data.reading.classes_text import classes_text
from objectives.errors import Problem, ProblemsError, condensed
from objectives.importing.drawing import Outlines, drawn
from objectives.importing.export import Annotated, Export, stored_size
from objectives.outputs.atomic import directory_at_once

Unlabelled = Literal["background", "ignored"]
BACKGROUND = "background"
GROUNDS = {BACKGROUND, "_background_", "__background__"}  # names that tools give it
IGNORED = 255


@dataclass(frozen=True)
class Imported:
    """What was written: the number of frames, and of the objects of each class; what was left out, by the reason; the
    classes that no object has, which the folder has not; and how many images are turned while their shapes are not.
    """

    frames: int
    objects: Counter[str]
    left_out: Counter[str]
    unused: list[str]
    turned: int


def write_export(export: Export, out: Path, unlabelled: Unlabelled) -> Imported:
    """Write a folder of frames that appears at once. Larger objects are drawn first, so that smaller ones lie on top; pixels of
    none are of class 0, background, or ignored.

    Raises:
        ProblemsError: The export cannot be used; every problem is named, and nothing is written.
        WorldError: The place cannot be written to.
    """
    objects = Counter(shape.name for image in export.images for shape in image.shapes)
    names = [name for name in dict.fromkeys(export.names) if objects[name]]
    problems = [*export.problems, *_problems(export, names)]
    if problems:
        raise ProblemsError("export", condensed(problems))
    label_of, classes, ground = _labels(names, unlabelled)
    turned = 0
    with directory_at_once(out) as draft:
        for image in export.images:
            _copy(image, draft / "images" / image.name)
            mask_HW = drawn(image.shapes, label_of, image.size, ground)
            _save(mask_HW, (draft / "masks" / image.name).with_suffix(".png"))
            size = stored_size(image.file)
            turned += image.size == size.stored != size.shown
        (draft / "classes.yaml").write_text(classes_text(classes), encoding="utf-8")
    unused = [name for name in dict.fromkeys(export.names) if not objects[name]]
    return Imported(len(export.images), objects, export.left_out, unused, turned)


def _labels(names: Sequence[str], unlabelled: Unlabelled) -> tuple[dict[str, int], Classes, int]:
    """Return the label of each class, the classes, and the label of pixels of none."""
    if unlabelled == "ignored":
        label_of = {name: label for label, name in enumerate(names)}
        shown = (*names, "ignored")
        return label_of, Classes(shown, palette(len(shown)), len(names), IGNORED), IGNORED
    ground = next((name for name in names if name.lower() in GROUNDS), BACKGROUND)
    ordered = [ground, *(name for name in names if name != ground)]
    label_of = {name: label for label, name in enumerate(ordered)}
    return label_of, Classes(tuple(ordered), palette(len(ordered))), 0


def _problems(export: Export, names: Sequence[str]) -> Iterator[Problem]:
    for name in names:
        if not is_class_name(name):
            yield Problem("classes", CLASS_NAME, repr(name))
    if len(names) >= MOST_CLASSES - 1:
        yield Problem("classes", f"must be fewer than {MOST_CLASSES - 1}", str(len(names)))
    if not names and not export.problems:
        yield Problem(
            "objects", "there must be one at least", f"none in {len(export.images)} images"
        )
    masks = defaultdict[str, list[str]](list)
    for image in export.images:
        masks[PurePosixPath(image.name).with_suffix("").as_posix()].append(image.name)
        try:
            size = stored_size(image.file)
        except OSError as error:
            yield Problem(image.name, "must be an image", str(error))
            continue
        if image.size not in (size.stored, size.shown):
            height, width = size.stored
            yield Problem(
                image.name,
                f"must have the size of the export, {height} x {width} in its file",
                f"{image.size[0]} x {image.size[1]}",
            )
        shapes = [shape.where for shape in image.shapes if isinstance(shape.where, Outlines)]
        if wrong := sum(not each.is_finite for each in shapes):
            yield Problem(
                image.name, "corners must be finite numbers", f"{wrong} objects with others"
            )
    for same in masks.values():
        if len(same) > 1:
            yield Problem(
                same[0], "must be the only image of its name, whatever the suffix", ", ".join(same)
            )


def _copy(image: Annotated, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image.file, bytes):
        path.write_bytes(image.file)
    else:
        shutil.copyfile(image.file, path)


def _save(mask_HW: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask_HW).save(path)
