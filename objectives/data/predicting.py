"""Reading of frames for ``search predict`` (no masks) and ``search evaluate`` (with masks), each at
its own size.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objectives.data.options import AS_FILES_SAY, PixelReading
from objectives.data.preparing.marks import gathered
from objectives.data.preparing.sizes import size_problem
from objectives.data.preparing.undeclared import Held, Undeclared, among
from objectives.data.reading.classes import IGNORED_NAME, Classes, named_classes
from objectives.data.reading.folder_reader import FolderReader
from objectives.data.reading.frames import FrameSource
from objectives.data.reading.image_file import ImageFileReader
from objectives.data.reading.on_demand import NamedImage, ReadOnDemand
from objectives.data.reading.source import TO_PREDICT, open_source, reader_of
from objectives.data.spec import FrameSpec
from objectives.errors import Problem, ProblemsError, condensed

# no label of a mask: an older bundle ignores one beyond its classes, and does not say which
UNKNOWN = -1


class Labelled(NamedTuple):
    """Frames with their truth; images are read when asked for."""

    names: tuple[str, ...]
    images: Sequence[np.ndarray]  # (H, W, C), each at its own size
    masks: Sequence[np.ndarray]  # (H, W) uint8, stored labels


def read_images(
    source: str | Path, reading: PixelReading = AS_FILES_SAY, *, banded: bool = False
) -> Sequence[NamedImage]:
    """Return the frames to predict, (name, image) each: the ``test_set`` of an npz, or a folder's
    images (its ``images/`` or itself), or one image file.

    ``synthetic[:COUNT][:seed=S]`` gives generated ones. A file of a folder is decoded when its item
    is asked for, which raises ProblemsError when it is damaged or none that is read; ``reading`` is that of the
    model's `FrameSpec`. With ``banded`` large TIFFs and GeoTIFFs are `BandedTiff`, for those who cut windows
    out of images.

    Raises:
        ProblemsError: Nothing is there, or no frames are in it.
    """
    reader = reader_of(str(source), TO_PREDICT)
    if banded and isinstance(reader, FolderReader | ImageFileReader):
        return reader.images(reading, banded=True)
    return reader.images(reading)


def read_labelled(source: str | Path, spec: FrameSpec, *, ignore: str = "") -> Labelled:
    """Return the labelled frames of a source for a model of these classes: every frame, nothing
    dropped, sizes as they are.

    ``ignore`` is that of the `DataOptions` under which the model was made.

    Raises:
        ProblemsError: It cannot be read, or its classes or pixels are not the model's; every
            problem is named.
    """
    opened = open_source(str(source), spec.reading)
    declared = opened.classes.ignoring(ignore) if opened.classes else None
    classes = declared or _classes_of(spec, ignore)
    opened = opened.read_as(classes)
    problems = [*opened.problems, *_class_problems(str(source), declared, spec)]
    masks = []
    held = {}
    for index in range(len(opened.names)):
        try:
            mask_HW, held[opened.place(index)] = _matching_mask(opened, index, spec)
            masks.append(classes.encode(mask_HW))
        except ProblemsError as error:
            problems += error.problems
    problems += Undeclared.of(held, classes).problems(among(classes))
    if problems:
        raise ProblemsError(str(source), condensed(gathered(problems)))
    return Labelled(opened.names, ReadOnDemand(len(opened.names), opened.image), masks)


def _class_problems(source: str, declared: Classes | None, spec: FrameSpec) -> list[Problem]:
    if declared is None:
        return []
    theirs = _scorable(declared.names, declared.ignore_label)
    ours = _scorable(spec.class_names, spec.ignore_label)
    if theirs == ours:
        return []
    rule = f"must have the model's {len(spec.class_names)} classes in its order ({', '.join(ours)})"
    return [Problem(source, rule, f"{len(declared.names)} classes ({', '.join(theirs)})")]


def _classes_of(spec: FrameSpec, ignore: str) -> Classes:
    """Return the model's own classes, for masks that no source declares."""
    classes = named_classes(spec.class_names, ignore_label=spec.ignore_label)
    classes = replace(classes, values=spec.mask_values)
    if spec.raw_ignore is not None:
        return replace(classes, raw_ignore=spec.raw_ignore)
    if ignore not in ("", "none"):
        return replace(classes, raw_ignore=int(ignore))
    beyond = spec.ignore_label == spec.num_classes - 1 and spec.class_names[-1] == IGNORED_NAME
    return replace(classes, raw_ignore=UNKNOWN) if beyond else classes


def _scorable(names: Sequence[str], ignore_label: int | None) -> list[str]:
    """Return names in label order, the ignored one in brackets: what it is called does
    not matter.
    """
    return ["(ignored)" if label == ignore_label else name for label, name in enumerate(names)]


def _matching_mask(source: FrameSource, index: int, spec: FrameSpec) -> tuple[np.ndarray, Held]:
    """Return the raw labels of a frame whose image fits the model, and how many pixels have each."""
    frame = source.frame(index)
    image_HWC = frame.image_HWC
    mask_HW = frame.mask_HW
    size = size_problem(frame, source.place(index))
    problems = [size] if size else []
    pixels = f"{image_HWC.shape[2]} channels of 0..{np.iinfo(image_HWC.dtype).max}"
    expected = f"{spec.channels} channels of 0..{spec.max_value}"
    if pixels != expected:
        problems.append(Problem(source.place(index), f"the model takes {expected}", pixels))
    if problems:
        raise ProblemsError(source.place(index), problems)
    counts = np.bincount(mask_HW.ravel())
    labels = {label: int(counts[label]) for label in np.flatnonzero(counts).tolist()}
    return mask_HW, Held.of(labels, frame.undeclared)
