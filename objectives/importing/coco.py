"""COCO's JSON: one file for all images, objects as polygons or as runs of pixels.

Source: the data format of cocodataset.org, "object detection" and "panoptic" excluded.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from objectives.importing.drawing import Outlines, Pixels, Shape
from objectives.importing.export import Annotated, Export, Part, find_image, read_json
from objectives.importing.run_lengths import from_counts, from_text

LEAST_NUMBERS = 6  # of a polygon: three corners


class Picture(Part):
    """An image."""

    id: int | str
    file_name: str = Field(min_length=1)
    height: int = Field(ge=1)
    width: int = Field(ge=1)


class Runs(Part):
    """A mask as runs of pixels."""

    counts: list[int] | str
    size: tuple[int, int]  # height and width


class Category(Part):
    """A class."""

    id: int
    name: str = Field(min_length=1)


class Thing(Part):
    """An object."""

    image_id: int | str
    category_id: int
    segmentation: list[list[float]] | Runs | None = None


class Coco(Part):
    """The whole file."""

    images: list[Picture]
    annotations: list[Thing]
    categories: list[Category]


def read_coco(path: Path, folders: Sequence[Path]) -> Export:
    """Return the export of a file, whose images lie in one of the folders.

    Raises:
        ProblemsError: It is no such file.
    """
    coco = read_json(path, Coco)
    name_of = {each.id: each.name for each in sorted(coco.categories, key=lambda each: each.id)}
    export = Export(list(name_of.values()))
    for kind, ids in (("images", coco.images), ("categories", coco.categories)):
        for repeated, count in Counter(each.id for each in ids).items():
            if count > 1:
                export.problem(
                    f"{path.name}: {kind}",
                    "each must have an id of its own",
                    f"{repeated!r}, {count} times",
                )
    size_of = {each.id: (each.height, each.width) for each in coco.images}
    shapes = defaultdict[int | str, list[Shape]](list)
    for number, thing in enumerate(coco.annotations):
        where = f"{path.name}: annotations.{number}"
        if thing.image_id not in size_of:
            export.problem(where, "image_id must be that of an image", thing.image_id)
        elif thing.category_id not in name_of:
            export.problem(where, "category_id must be that of a category", thing.category_id)
        elif drawn := _where(thing, size_of[thing.image_id], where, export):
            shapes[thing.image_id].append(Shape(name_of[thing.category_id], drawn))
    for picture in coco.images:
        if found := find_image(picture.file_name, folders):
            size = size_of[picture.id]
            export.images.append(Annotated(found.file, found.name, size, shapes[picture.id]))
        else:
            looked = ", ".join(map(str, folders))
            export.problem(
                picture.file_name,
                "must lie in the folder of images (--images names it)",
                f"none in {looked}",
            )
    return export


def _where(
    thing: Thing, size: tuple[int, int], where: str, export: Export
) -> Outlines | Pixels | None:
    match thing.segmentation:
        case None | []:
            export.left_out["objects with a box and no outline"] += 1
            return None
        case Runs(counts=counts, size=of_runs):
            if of_runs != size:
                export.problem(
                    f"{where}.segmentation", f"must have the image's size {size}", of_runs
                )
                return None
            try:
                found = from_text(counts) if isinstance(counts, str) else counts
                return Pixels(from_counts(found, *size))
            except ValueError as error:
                export.problem(
                    f"{where}.segmentation", f"must be runs of {size[0]}x{size[1]} pixels", error
                )
                return None
        case polygons:
            if any(len(each) < LEAST_NUMBERS or len(each) % 2 for each in polygons):
                rule = "must be polygons of x, y, x, y, ... with three corners or more"
                export.problem(f"{where}.segmentation", rule, [len(each) for each in polygons])
                return None
            return Outlines(tuple(np.array(each, float).reshape(-1, 2) for each in polygons))
