"""Reading of a folder of frames: images and masks as a layout says, with optional ``groups.csv``,
``splits.csv`` and ``classes.yaml``.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from objectives.data.options import AS_FILES_SAY, PixelReading
from objectives.data.reading.classes import Classes, named_classes, numbered_classes
from objectives.data.reading.classes_file import classes_of
from objectives.data.reading.decode import (
    LabelImage,
    Picture,
    read_label_image,
    read_picture,
    refuse_undeclared,
)
from objectives.data.reading.frame_files import FrameFiles, MaskFile, find_files
from objectives.data.reading.frame_names import spellings
from objectives.data.reading.frame_table import read_table
from objectives.data.reading.frames import Frame
from objectives.data.reading.given_parts import given_parts
from objectives.data.reading.known_layouts import PLAIN, LaidOut, laid_out
from objectives.data.reading.layout import Layout
from objectives.data.reading.merging import BACKGROUND, file_values, merged
from objectives.data.reading.raster import Tags
from objectives.data.reading.settings_files import (
    CLASSES,
    GROUPS,
    LABELMAP,
    LAYOUT,
    settings_file,
    unread_files,
)
from objectives.data.values import AS_STORED, Values
from objectives.errors import Problem, ProblemsError

BACKGROUND_NAME = "background"  # of what no file of a class holds, where no classes.yaml names it


@dataclass(frozen=True)
class FolderSource:
    """Frames as files. Names are in Unicode's normal form NFC: a Mac writes the same name in other
    bytes.

    ``kinds`` are the labels of the classes that mask files are named after; ``values`` and
    ``ignored`` are what the masks' values mean, and the ignored label as those write it.
    """

    root: Path
    files: tuple[FrameFiles, ...]
    groups: tuple[str, ...]
    classes: Classes | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    numbered: bool = False
    layout: Layout = PLAIN
    reading: PixelReading = AS_FILES_SAY
    values: Values = AS_STORED
    ignored: int | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)
    unwritten: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """One per frame, in a fixed order."""
        return tuple(frame.name for frame in self.files)

    @property
    def layout_text(self) -> str:
        """The data.yaml that says where the files lie."""
        return self.layout.text()

    def guess(self, count: int) -> Classes:
        """Numbered classes, none of them ignored: only the owner of the data can say that a label
        means nothing.
        """
        return numbered_classes(count)

    def place(self, index: int) -> str:
        """Return the image file, as a problem names it."""
        return self._shown(self.files[index].image)

    def image(self, index: int) -> np.ndarray:
        """Image ``index`` as (H, W, C)."""
        return self._picture(index).pixels_HWC

    def mask(self, index: int) -> np.ndarray:
        """Return its raw labels as (H, W)."""
        needs_picture = self.layout.no_data or not self.files[index].masks
        mask = self._mask(index, self._picture(index) if needs_picture else None)
        refuse_undeclared(mask.undeclared, f"mask of {self.place(index)}", self.values)
        return mask.labels_HW

    def frame(self, index: int) -> Frame:
        """Image and mask, with what their files say of them."""
        problems: list[Problem] = []
        picture = None
        try:
            picture = self._picture(index)
        except ProblemsError as error:
            problems += error.problems
        try:
            mask = self._mask(index, picture)
        except ProblemsError as error:
            problems += error.problems
        if problems or picture is None:
            raise ProblemsError(self.place(index), problems)
        return Frame(
            picture.pixels_HWC,
            mask.labels_HW,
            picture.tags,
            mask.tags,
            mask.colours,
            mask.undeclared,
            picture.unmeasured_HW,
        )

    def read_as(self, classes: Classes) -> Self:
        """Return the same frames, the values of their masks read as those of these classes."""
        return replace(self, values=classes.values, ignored=classes.raw_ignore)

    def _picture(self, index: int) -> Picture:
        return read_picture(self.files[index].image, self.place(index), self.reading)

    def _mask(self, index: int, picture: Picture | None) -> LabelImage:
        """Return a frame's mask; without its image where that cannot be read and is not needed."""
        masks = self.files[index].masks
        if self.layout.several_masks and masks:
            mask = self._merged(masks)
        elif masks:
            mask = self._label_image(masks[0], self.values)
        else:  # the image alone says how large it is, and has its problem if it cannot be read
            shape = picture.pixels_HWC.shape[:2] if picture else (1, 1)
            mask = LabelImage(np.full(shape, BACKGROUND, np.uint8), Tags(), {}, {})
        return self._without_data(mask, picture) if self.layout.no_data and picture else mask

    def _merged(self, masks: Sequence[MaskFile]) -> LabelImage:
        """Return the mask that the files of one frame make together."""
        layers: list[np.ndarray] = []
        undeclared: dict[str, int] = {}
        tags = Tags()
        by_kind = file_values(self.layout.threshold)
        for mask in sorted(masks, key=lambda mask: self.kinds.get(mask.kind, 0)):
            read = self._label_image(mask, by_kind if mask.kind else self.values)
            if layers and read.labels_HW.shape != layers[0].shape:
                rule = "all mask files of an image must have one size"
                shapes = [" x ".join(map(str, each.shape)) for each in (layers[0], read.labels_HW)]
                place = self._shown(mask.path)
                raise ProblemsError(place, [Problem(place, rule, " and ".join(shapes))])
            painted = read.labels_HW.astype(np.uint16)
            layers.append(painted * self.kinds[mask.kind] if mask.kind else painted)
            undeclared |= {
                value: undeclared.get(value, 0) + count for value, count in read.undeclared.items()
            }
            tags = read.tags
        return LabelImage(merged(layers, self.layout.overlap), tags, {}, undeclared)

    def _without_data(self, mask: LabelImage, picture: Picture) -> LabelImage:
        """Return the mask with the ignored label where image or mask has no data."""
        labels_HW = mask.labels_HW
        if self.ignored is None:
            return mask
        empty_HW = np.zeros(labels_HW.shape, np.bool_)
        if mask.tags.no_data is not None:
            empty_HW |= labels_HW == mask.tags.no_data
        if picture.unmeasured_HW is not None and picture.unmeasured_HW.shape == labels_HW.shape:
            empty_HW |= picture.unmeasured_HW
        wide = np.where(empty_HW, self.ignored, labels_HW)
        labels_HW = wide.astype(np.uint8 if wide.max() < 256 else np.uint16)
        return mask._replace(labels_HW=labels_HW, tags=replace(mask.tags, no_data=None))

    def _label_image(self, mask: MaskFile, values: Values) -> LabelImage:
        return read_label_image(mask.path, self._shown(mask.path), self.reading.exif, values)

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


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
        tuple(_warnings(where.layout, len(images), len(left_out), frames)),
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


def _warnings(
    layout: Layout, images: int, left_out: int, frames: Sequence[FrameFiles]
) -> Iterable[str]:
    if left_out:
        yield f"{left_out} images are in none of the given parts, and left out"
    lacking = images - left_out - len(frames)
    if layout.without_mask == "drop" and lacking:
        yield f"{lacking} images have no mask, and are left out (without_mask: drop)"
    empty = sum(not frame.masks for frame in frames)
    if empty:
        yield f"{empty} images have no mask, and are all background (without_mask: background)"
