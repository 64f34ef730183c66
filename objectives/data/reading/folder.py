"""Reading of a folder of frames: images and masks as a layout says, with optional ``groups.csv``,
``splits.csv`` and ``classes.yaml``.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from objectives.data.options import AS_FILES_SAY, PixelReading
from objectives.data.reading.classes import Classes, named_classes
from objectives.data.reading.classes_file import classes_of
from objectives.data.reading.folder_source import FolderSource
from objectives.data.reading.frame_files import FoundFiles, FrameFiles, find_files
from objectives.data.reading.frame_names import spellings
from objectives.data.reading.frame_table import read_table
from objectives.data.reading.given_parts import given_parts
from objectives.data.reading.known_layouts import LaidOut, laid_out
from objectives.data.reading.merging import BACKGROUND
from objectives.data.reading.settings_files import (
    CLASSES,
    GROUPS,
    LABELMAP,
    LAYOUT,
    settings_file,
    unread_files,
)
from objectives.data.values import AS_STORED
from objectives.errors import Problem, ProblemsError, listed

BACKGROUND_NAME = "background"  # of what no file of a class holds, where no classes.yaml names it


def read_folder(path: Path, reading: PixelReading = AS_FILES_SAY) -> FolderSource:
    """Return the labelled frames of a folder, or of a data.yaml: every image that has a mask; what
    is missing stands in ``problems``.

    Without a ``classes.yaml`` the classes are the labels found, named ``class_0`` .., and no label
    is ignored; or those that mask files are named after.

    Raises:
        ProblemsError: The folders that its layout names are not there or hold no image.
    """
    where = laid_out(path)
    found = find_files(where.root, where.layout)
    images = {frame.name: found.shown(frame.image) for frame in found.images.values()}
    known = spellings(images)
    by_folder = {frame.name: frame.part for frame in found.images.values() if frame.part}
    parts, part_problems = given_parts(where.settings, where.layout, by_folder, known)
    left_out = [name for name in images if name not in parts] if "train" in parts.values() else []
    frames = found.paired(left_out)
    groups, group_problems = _groups(where, frames, known)
    classes, class_problems = _read_classes(settings_file(where.settings, CLASSES))
    classes, kinds, kind_problems = _kinds(classes, frames)
    problems = sorted(found.problems, key=str) + group_problems + part_problems
    problems += [*class_problems, *kind_problems, *unread_files(where.settings)]
    if where.layout.no_data and (classes is None or classes.raw_ignore is None):
        rule = "needs an ignored label: `ignore:` in classes.yaml"
        problems.append(Problem("data.yaml: no_data", rule, where.layout.no_data))
    return FolderSource(
        where.root,
        tuple(frames),
        groups,
        classes,
        tuple(problems),
        (*_warnings(found, len(left_out), frames), *_unpainted(classes, kinds)),
        tuple(parts.get(frame.name, "") for frame in frames) if parts else (),
        layout=where.layout,
        reading=reading.or_else(where.layout.reading),
        values=classes.values if classes else AS_STORED,
        ignored=classes.raw_ignore if classes else None,
        kinds=kinds,
        unwritten=tuple(_unwritten(where)),
    )


def _unwritten(where: LaidOut) -> Iterable[str]:
    if where.assumed:
        yield LAYOUT[0]
    if settings_file(where.settings, CLASSES).name in (LABELMAP, CLASSES[0]) and not (
        os.path.lexists(where.settings / CLASSES[0])
    ):
        yield CLASSES[0]


def _groups(
    where: LaidOut, frames: Sequence[FrameFiles], known: Mapping[str, str]
) -> tuple[tuple[str, ...], list[Problem]]:
    """Return the group of each frame, by the field ``{group}`` or groups.csv, and what is wrong."""
    path = settings_file(where.settings, GROUPS)
    without = [frame for frame in frames if not frame.group]
    if without and len(without) < len(frames):
        place = without[0].image.relative_to(where.root).as_posix()
        return (), [Problem(place, "every pattern of images: must have {group}, or none", "none")]
    if frames and all(frame.group for frame in frames):
        beside = [Problem(path.name, "must not be given where images: has {group}", path.name)]
        return tuple(frame.group for frame in frames), beside if os.path.lexists(path) else []
    if not os.path.lexists(path):
        return (), []
    groups, problems = read_table(path, "group", known)
    shown = {frame.name: frame.image.relative_to(where.root).as_posix() for frame in frames}
    if groups or not problems:
        problems += [
            Problem(place, f"must have a group in {path.name}", "none")
            for name, place in shown.items()
            if name not in groups
        ]
    return (() if problems else tuple(groups[frame.name] for frame in frames)), problems


def _read_classes(path: Path) -> tuple[Classes | None, list[Problem]]:
    if not os.path.lexists(path):
        return None, []
    try:
        return classes_of(path), []
    except ProblemsError as error:
        return None, list(error.problems)


def _kinds(
    classes: Classes | None, frames: Sequence[FrameFiles]
) -> tuple[Classes | None, dict[str, int], list[Problem]]:
    """Return the classes, those that mask files are named after where nobody has declared any, and
    the label of each such name; names of no class are problems.
    """
    held: dict[str, Path] = {}
    for frame in frames:
        for mask in frame.masks:
            if mask.kind:
                held.setdefault(mask.kind, mask.path)
    if not held:
        return classes, {}, []
    if classes is None:
        if numbers := [kind for kind in held if kind.isdecimal()]:
            rule = "classes.yaml must say which classes they are, where {class} is a number"
            return None, {}, [Problem("mask files", rule, listed(sorted(map(int, numbers))))]
        others = sorted(held.keys() - {BACKGROUND_NAME})
        classes = named_classes((BACKGROUND_NAME, *others))
    raw = classes.raw_labels
    labels = {str(label): label for label in raw} | dict(zip(classes.names, raw, strict=True))
    problems = [
        Problem(path.name, f"{{class}} must be one of {', '.join(classes.names)}", kind)
        for kind, path in held.items()
        if kind not in labels
    ]
    return classes, {kind: labels[kind] for kind in held if kind in labels}, problems


def _unpainted(classes: Classes | None, kinds: Mapping[str, int]) -> Iterable[str]:
    if classes and BACKGROUND in kinds.values() and classes.names[0] != BACKGROUND_NAME:
        yield (
            f"pixels that no mask file paints are of the class of label 0, {classes.names[0]}, "
            f"although it has files of its own"
        )


def _warnings(found: FoundFiles, left_out: int, frames: Sequence[FrameFiles]) -> Iterable[str]:
    layout = found.layout
    if found.unnamed:
        yield f"{found.unnamed} image files are in no row of a table, and left out"
    if left_out:
        yield f"{left_out} images are in none of the given parts, and left out"
    lacking = len(found.images) - left_out - len(frames)
    if layout.without_mask == "drop" and lacking:
        yield f"{lacking} images have no mask, and are left out (without_mask: drop)"
    empty = sum(not frame.masks for frame in frames)
    if empty:
        yield f"{empty} images have no mask, and are all background (without_mask: background)"
