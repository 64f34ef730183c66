"""Reading of the course's npz: ``training_set`` (N, 2, H, W), optional ``test_set`` and ``training_groups``."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from objectives.data.classes import COURSE, MOST_CLASSES, Classes, named_classes, numbered_classes
from objectives.data.frames import ArraySource
from objectives.errors import Problem, ProblemsError

PIXEL_TYPES = (np.uint8, np.uint16)
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    SyntaxError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path) -> ArraySource:
    """The labelled frames of an npz in the course's layout: ``training_set[:, 0]`` frames, ``[:, 1]`` masks.

    Label 0 is ignored. An array ``class_names`` names the classes when present; without it five labels have the course's
    names and any other number is ``class_0`` ...

    Raises:
        ProblemsError: the file is damaged, or its arrays are of other shapes or types.
    """
    arrays = _read_arrays(path, ("training_set", "training_groups", "class_names"))
    frames = arrays.get("training_set")
    if frames is None:
        raise _problems(path, [Problem(path.name, "must hold training_set (frames and masks)", "none")])
    if frames.ndim != 4 or frames.shape[1] != 2 or 0 in frames.shape or frames.dtype not in PIXEL_TYPES:
        rule = "must be uint8 (N, 2, H, W): frames in [:, 0], masks in [:, 1]"
        raise _problems(path, [Problem("training_set", rule, f"{frames.dtype} {frames.shape}")])
    groups, problems = _read_groups(arrays.get("training_groups"), len(frames))
    masks = frames[:, 1]
    classes, class_problems = _read_class_names(arrays.get("class_names"), masks)
    return ArraySource(frames[:, 0, :, :, None], masks, groups, classes, tuple(problems + class_problems))


def read_test_set(path: Path) -> np.ndarray:
    """The unlabelled frames of an npz as (N, H, W, C): its ``test_set``, (N, H, W) or (N, H, W, C).

    Raises:
        ProblemsError: the file is damaged, has no ``test_set``, or one of another shape or type.
    """
    frames = _read_arrays(path, ("test_set",)).get("test_set")
    if frames is None:
        raise _problems(path, [Problem(path.name, "must hold test_set (frames to predict)", "none")])
    if frames.ndim not in (3, 4) or 0 in frames.shape or frames.dtype not in PIXEL_TYPES:
        raise _problems(path, [Problem("test_set", "must be uint8 or uint16 (N, H, W)", f"{frames.dtype} {frames.shape}")])
    return frames if frames.ndim == 4 else frames[..., None]


def _problems(path: Path, problems: list[Problem]) -> ProblemsError:
    return ProblemsError(str(path), problems)


def _read_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        archive = np.load(path, allow_pickle=False)  # an array of objects is refused, never unpickled
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            return {key: archive[key] for key in keys if key in archive.files}
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _problems(path, [Problem(path.name, "must be a readable npz of plain arrays", reason[:200])]) from error


def _read_groups(groups: np.ndarray | None, count: int) -> tuple[tuple[str, ...], list[Problem]]:
    if groups is None:
        return (), []
    if groups.shape != (count,) or groups.dtype.kind not in "iuSU":
        value = f"{groups.dtype} {groups.shape}"
        return (), [Problem("training_groups", f"must hold one whole number or name per frame ({count},)", value)]
    return tuple(str(group) for group in groups.tolist()), []


def _read_class_names(names: np.ndarray | None, masks: np.ndarray) -> tuple[Classes, list[Problem]]:
    if names is not None:
        if names.ndim == 1 and names.dtype.kind == "U" and 2 <= len(set(names.tolist())) == len(names) <= MOST_CLASSES:
            return named_classes(tuple(names.tolist()), ignore_label=0), []
        problem = Problem("class_names", "must be 2 to 256 different names", f"{names.dtype} {names.shape}")
        return numbered_classes(MOST_CLASSES, ignore_label=0), [problem]
    labels = np.flatnonzero(np.bincount(masks.ravel()))
    count = max(int(labels[-1]) + 1, 2)
    if count == len(COURSE.names):
        return COURSE, []
    if len(labels) < count - 1:  # label 0 alone may be absent: it is ignored
        frame = int(np.argmax((masks == labels[-1]).any(axis=(1, 2))))
        rule = "labels must run from 0 without gaps, or class_names must name them"
        shown = ", ".join(map(str, labels[-8:].tolist()))
        return numbered_classes(MOST_CLASSES, ignore_label=0), [Problem(f"training_set[{frame}]", rule, shown)]
    return numbered_classes(min(count, MOST_CLASSES), ignore_label=0), []
