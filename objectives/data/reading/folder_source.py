"""Labelled frames as files of a folder: decoded one by one, mask files merged, what has no data
ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from objectives.data.options import AS_FILES_SAY, PixelReading
from objectives.data.reading.classes import Classes, numbered_classes
from objectives.data.reading.decode import (
    LabelImage,
    Picture,
    read_label_image,
    read_picture,
    refuse_undeclared,
)
from objectives.data.reading.frame_files import FrameFiles, MaskFile
from objectives.data.reading.frames import Frame
from objectives.data.reading.known_layouts import PLAIN
from objectives.data.reading.layout import Layout
from objectives.data.reading.merging import BACKGROUND, Layer, file_values, merged
from objectives.data.reading.raster import Tags
from objectives.data.values import AS_STORED, Values
from objectives.errors import Problem, ProblemsError


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
            mask.unmeasured_HW,
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
        layers: list[Layer] = []
        undeclared: dict[str, int] = {}
        tags = Tags()
        unmeasured_HW: np.ndarray | None = None
        by_kind = file_values(self.layout.threshold)
        for mask in sorted(masks, key=lambda mask: self.kinds.get(mask.kind, 0)):
            read = self._label_image(mask, by_kind if mask.kind else self.values)
            if layers and read.labels_HW.shape != layers[0].painted_HW.shape:
                rule = "all mask files of an image must have one size"
                pair = (layers[0].painted_HW, read.labels_HW)
                shapes = [" x ".join(map(str, each.shape)) for each in pair]
                place = self._shown(mask.path)
                raise ProblemsError(place, [Problem(place, rule, " and ".join(shapes))])
            labels = self.kinds.get(mask.kind, BACKGROUND) if mask.kind else read.labels_HW
            layers.append(Layer(read.labels_HW != 0, labels))
            undeclared |= {
                value: undeclared.get(value, 0) + count for value, count in read.undeclared.items()
            }
            if tags == Tags():  # what one of them says is said
                tags = read.tags
            if read.unmeasured_HW is not None:
                others_HW = unmeasured_HW if unmeasured_HW is not None else False
                unmeasured_HW = read.unmeasured_HW | others_HW
                tags = replace(tags, no_data=read.tags.no_data)
        mask_HW = merged(layers, self.layout.overlap)
        return LabelImage(mask_HW, tags, {}, undeclared, unmeasured_HW)

    def _without_data(self, mask: LabelImage, picture: Picture) -> LabelImage:
        """Return the mask with the ignored label where image or mask has no data."""
        labels_HW = mask.labels_HW
        if self.ignored is None:
            return mask
        empty_HW = np.zeros(labels_HW.shape, np.bool_)
        if mask.unmeasured_HW is not None:
            empty_HW |= mask.unmeasured_HW
        if picture.unmeasured_HW is not None and picture.unmeasured_HW.shape == labels_HW.shape:
            empty_HW |= picture.unmeasured_HW
        wide = np.where(empty_HW, self.ignored, labels_HW)
        labels_HW = wide.astype(np.uint8 if wide.max() < 256 else np.uint16)
        tags = replace(mask.tags, no_data=None)
        return mask._replace(labels_HW=labels_HW, tags=tags, unmeasured_HW=None)

    def _label_image(self, mask: MaskFile, values: Values) -> LabelImage:
        return read_label_image(
            mask.path,
            self._shown(mask.path),
            self.reading.exif,
            values,
            skips_no_data=bool(self.layout.no_data) and self.ignored is not None,
        )

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()
