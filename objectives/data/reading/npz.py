"""Reading of an npz: the course's ``training_set`` (N, 2, H, W), or arrays of images and of masks;
``test_set`` to predict.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from objectives.data.options import AS_FILES_SAY, PixelReading
from objectives.data.reading.array_frames import PIXEL_TYPES, frames_alone, groups_of
from objectives.data.reading.array_layout import ArrayLayout, known_arrays, read_array_layout
from objectives.data.reading.array_sets import ArraySets, made_of
from objectives.data.reading.classes import (
    CLASS_NAME,
    MOST_CLASSES,
    Classes,
    is_class_name,
    named_classes,
)
from objectives.data.reading.classes_file import classes_of
from objectives.data.reading.frames import ArraySource
from objectives.data.reading.npz_file import array_names, read_arrays
from objectives.data.reading.on_demand import NamedImage, numbered
from objectives.data.reading.settings_files import CLASSES, settings_file
from objectives.data.reading.stamps import stamp_of
from objectives.errors import Problem, ProblemsError, listed

COURSE_SET, COURSE_GROUPS, CLASS_NAMES = "training_set", "training_groups", "class_names"
TO_PREDICT = ("test_set", "images")  # the first that is there


def read_npz(
    path: Path, layout: ArrayLayout | None = None, reading: PixelReading = AS_FILES_SAY
) -> ArraySource:
    """Return the labelled frames of an npz: those of ``layout``, else of the course's
    ``training_set``, whose ``[:, 0]`` are frames and ``[:, 1]`` masks, else of images and masks
    whose names are known; pixels as ``reading`` wants them.

    Label 0 is ignored. An array ``class_names`` names the classes when present; without it five
    labels have the course's names and any other number is ``class_0`` ...

    Raises:
        ProblemsError: The file is damaged, or its arrays are of other shapes or types.
    """
    held = array_names(path)
    if layout is None and COURSE_SET in held:
        arrays = read_arrays(path, (COURSE_SET, COURSE_GROUPS, CLASS_NAMES))
        course = _course(path, arrays, *_read_class_names(arrays.get(CLASS_NAMES)))
        return replace(course, reading=reading)
    if (found := layout or known_arrays(held, path.name)) is None:
        rule = f"must hold {COURSE_SET}, or images and masks, or a data.yaml with `npz:` must name them"
        raise _refused(path, [Problem(path.name, rule, listed(held) or "none")])
    named = [name for each in found.named(held) for name in each[:3]]
    arrays = read_arrays(path, (*named, CLASS_NAMES))
    classes, problems = _read_class_names(arrays.get(CLASS_NAMES))
    wanted = reading.or_else(found.reading)
    return ArraySets(path, arrays, found, held, wanted).source(classes, problems, layout is None)


def _course(
    path: Path,
    arrays: dict[str, np.ndarray],
    classes: Classes | None,
    class_problems: list[Problem],
) -> ArraySource:
    """Return the frames of the course's layout."""
    frames = arrays[COURSE_SET]
    if (
        frames.ndim != 4
        or frames.shape[1] != 2
        or 0 in frames.shape
        or frames.dtype not in PIXEL_TYPES
    ):
        rule = "must be uint8 (N, 2, H, W): frames in [:, 0], masks in [:, 1]"
        raise _refused(path, [Problem(COURSE_SET, rule, f"{frames.dtype} {frames.shape}")])
    problems: list[Problem] = []
    groups: tuple[str, ...] = ()
    if COURSE_GROUPS in arrays:
        groups = (
            made_of(COURSE_GROUPS, problems, groups_of, arrays[COURSE_GROUPS], len(frames)) or ()
        )
    return ArraySource(
        frames[:, 0, :, :, None], frames[:, 1], groups, classes, tuple(problems + class_problems)
    )


def read_to_predict(
    path: Path, layout: ArrayLayout | None = None, *, ranged: bool = False
) -> list[np.ndarray]:
    """Return the unlabelled frames of an npz, (H, W, C) each: those of the arrays that ``layout``
    names, else of its ``test_set`` or ``images``; any real numbers where they are ``ranged``.

    Raises:
        ProblemsError: The file is damaged, or has none, or of another shape or type.
    """
    held = array_names(path)
    chosen = [name for name in TO_PREDICT if name in held][:1]
    stated = layout or ArrayLayout((), ())
    arrays = read_arrays(path, [each.images for each in stated.named(held)] if layout else chosen)
    if not arrays:
        what = listed(layout.images) if layout else TO_PREDICT[0]
        raise _refused(path, [Problem(path.name, f"must hold {what} (frames to predict)", "none")])
    problems: list[Problem] = []
    made = [
        made_of(name, problems, lambda each: frames_alone(each, stated.axes, ranged=ranged), array)
        for name, array in arrays.items()
    ]
    if problems:
        raise _refused(path, problems)
    return [frame for frames in made if frames is not None for frame in frames]


def _refused(path: Path, problems: list[Problem]) -> ProblemsError:
    return ProblemsError(str(path), problems)


def _read_class_names(names: np.ndarray | None) -> tuple[Classes | None, list[Problem]]:
    if names is None:
        return None, []
    if (
        names.ndim == 1
        and names.dtype.kind == "U"
        and 2 <= len(set(names.tolist())) == len(names) <= MOST_CLASSES
    ):
        broken = [
            Problem(CLASS_NAMES, CLASS_NAME, repr(name))
            for name in names.tolist()
            if not is_class_name(name)
        ]
        return (
            (None, broken) if broken else (named_classes(tuple(names.tolist()), ignore_label=0), [])
        )
    return None, [
        Problem(
            CLASS_NAMES,
            f"must be 2 to {MOST_CLASSES} different names",
            f"{names.dtype} {names.shape}",
        )
    ]


def _file(folder: Path, text: str) -> Path | None:
    """Return the file that a text means; None where it is none."""
    try:
        path = folder / Path(text).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a name too long; ~stranger; a lone surrogate
        return None


@final
@dataclass(frozen=True)
class NpzReader:
    """Reads an npz file, as the data.yaml ``stated`` says where one names it."""

    path: Path
    layout: ArrayLayout | None = None
    stated: Path | None = None

    @classmethod
    def of(cls, stated: Path) -> "NpzReader":
        """Return the reader of the npz that a data.yaml names.

        Raises:
            ProblemsError: It breaks a rule, or the npz is not there.
        """
        layout = read_array_layout(stated)
        path = _file(stated.parent, layout.npz)
        if path is None:
            rule = "must be an npz file, from where this file lies"
            raise ProblemsError(stated.name, [Problem(f"{stated.name}: npz", rule, layout.npz)])
        return cls(path, layout, stated)

    def labelled(self, reading: PixelReading) -> ArraySource:
        """Return its labelled frames; arrays have no orientation tag."""
        source = read_npz(self.path, self.layout, reading)
        if self.stated is None:
            return source
        declared = settings_file(self.stated.parent, CLASSES)
        if not os.path.lexists(declared):
            unwritten = (*source.unwritten, CLASSES[0])
            return replace(source, unwritten=unwritten)
        classes = classes_of(declared)
        return replace(source, classes=classes, values=classes.values)

    def images(self, reading: PixelReading) -> Sequence[NamedImage]:
        """Return its frames to predict."""
        wanted = reading.or_else(self.layout.reading) if self.layout else reading
        frames = read_to_predict(self.path, self.layout, ranged=wanted.range is not None)
        return numbered(frames, wanted)

    def stamp(self) -> str:
        """Return a text that changes when the file does, or what is said of it."""
        path = self.path.resolve()
        said = [self.stated, settings_file(self.stated.parent, CLASSES)] if self.stated else []
        return stamp_of(path, [str(file) for file in (path, *said) if os.path.lexists(file)])
