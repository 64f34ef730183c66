"""The layout of a folder: as its data.yaml says, or one of those that are known by their folders."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from objectives.data.reading.image_forms import SUFFIXES
from objectives.data.reading.layout import Layout, read_layout
from objectives.data.reading.part_words import part_named
from objectives.data.reading.pattern import Pattern
from objectives.data.reading.settings_files import LAYOUT, settings_file
from objectives.data.reading.table_rows import JSON_LINES, first_cells
from objectives.errors import Problem, ProblemsError

PLAIN = Layout((Pattern("images/{path}.*"),), (Pattern("masks/{path}.*"),))
PARTS_WITHIN = Layout((Pattern("images/{part}/{path}.*"),), (Pattern("masks/{part}/{path}.*"),))
PARTS_ABOVE = Layout((Pattern("{part}/images/{path}.*"),), (Pattern("{part}/masks/{path}.*"),))
VOC = Layout((Pattern("JPEGImages/{path}.*"),), (Pattern("SegmentationClass/{path}.*"),))
VOC_LISTS = "ImageSets/Segmentation"
# of Hugging Face's image folders: one table, or one in the folder of each part
TABLES = tuple(
    f"{folder}metadata{suffix}"
    for folder in ("", "{part}/", "data/{part}/")
    for suffix in (".csv", *JSON_LINES[:1])
)
IMAGES = ("file_name", "image_file_name", "input_file_name", "image")
MASKS = (
    "mask",
    "label",
    "annotation",
    "segmentation",
    "segmentation_mask",
    "ground_truth",
)


@dataclass(frozen=True)
class LaidOut:
    """A folder of frames and how it is laid out."""

    settings: Path  # the folder of classes.yaml, groups.csv, splits.csv and lists
    root: Path  # the folder that the layout's paths begin in
    layout: Layout
    assumed: bool  # whether nobody has said so


def laid_out(path: Path) -> LaidOut:
    """Return the layout of a folder, or what a data.yaml says.

    Raises:
        ProblemsError: The file cannot be used, or its root is not there.
    """
    folder = path if path.is_dir() else path.parent
    file = settings_file(folder, LAYOUT) if path.is_dir() else path
    if not os.path.lexists(file):
        return LaidOut(folder, folder, _guessed(folder), assumed=True)
    layout = read_layout(file)
    root = _root(folder, layout.root)
    if root is None:
        raise ProblemsError(
            file.name, [Problem(f"{file.name}: root", "must be a folder", layout.root)]
        )
    return LaidOut(folder, root, layout, assumed=False)


def _root(folder: Path, root: str) -> Path | None:
    """Return the folder that a layout begins in; None where it is none."""
    try:
        path = folder / Path(root).expanduser() if root else folder
        return path if path.is_dir() else None
    except (OSError, RuntimeError):  # a name too long; ~stranger
        return None


def _guessed(folder: Path) -> Layout:
    if table := _with_table(folder):
        return table
    if (folder / "images").is_dir() or (folder / "masks").is_dir():
        return PARTS_WITHIN if _are_parts(_names_in(folder / "images")) else PLAIN
    if (folder / "JPEGImages").is_dir() and (folder / "SegmentationClass").is_dir():
        return _with_lists(folder)
    above = [name for name in _names_in(folder) if (folder / name / "images").is_dir()]
    return PARTS_ABOVE if _are_parts(above) else PLAIN


def _are_parts(names: list[str]) -> bool:
    """Return whether folders are the parts of a data set: each one's name, one of them train's."""
    parts = [part_named(name) for name in names]
    return len(parts) > 1 and "train" in parts and "" not in parts


def _with_table(folder: Path) -> Layout | None:
    """Return the layout of a table that names images and masks, where one is there."""
    for text in TABLES:
        above, field, rest = text.partition("{part}")
        parts = [name for name in _names_in(folder / above) if part_named(name)] if field else [""]
        files = [folder / f"{above}{part}{rest}" for part in parts]
        there = [file for file in files if file.is_file()]
        columns = _columns(first_cells(there[0])) if there else None
        if columns:
            return Layout((), (), table=Pattern(text), columns=columns)
    return None


def _columns(cells: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the columns of images and masks of a table, by the first cells of its columns."""
    files = [column for column, cell in cells.items() if Path(cell).suffix.lower() in SUFFIXES]
    images = [name for name in IMAGES if name in files]
    masks = [name for word in MASKS for name in (f"{word}_file_name", word) if name in files]
    return (images[0], masks[0]) if images and masks else None


def _with_lists(folder: Path) -> Layout:
    return Layout(VOC.images, VOC.masks, parts=tuple(_lists(folder)))


def _lists(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the list of each part that has one."""
    for name in _names_in(folder / VOC_LISTS):
        stem, _, suffix = name.partition(".")
        if suffix == "txt" and (part := part_named(stem)):
            yield part, (f"{VOC_LISTS}/{name}",)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # whoever lists the frames says why
        return []
