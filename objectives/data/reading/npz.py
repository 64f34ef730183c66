"""Reading of the course's npz: ``training_set`` (N, 2, H, W), optional ``test_set`` and
``training_groups``.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import psutil

from objectives.data.options import PixelReading
from objectives.data.reading.classes import (
    CLASS_NAME,
    MOST_CLASSES,
    Classes,
    is_class_name,
    named_classes,
)
from objectives.data.reading.frames import ArraySource
from objectives.data.reading.on_demand import NamedImage, numbered
from objectives.data.reading.stamps import stamp_of
from objectives.errors import Problem, ProblemsError

PIXEL_TYPES = (np.uint8, np.uint16)
FULLEST = 0.9  # share of the free memory that the arrays may take


def read_npz(path: Path) -> ArraySource:
    """Return the labelled frames of an npz in the course's layout: ``training_set[:, 0]`` frames,
    ``[:, 1]`` masks.

    Label 0 is ignored. An array ``class_names`` names the classes when present; without it five
    labels have the course's names and any other number is ``class_0`` ...

    Raises:
        ProblemsError: The file is damaged, or its arrays are of other shapes or types.
    """
    arrays = _read_arrays(path, ("training_set", "training_groups", "class_names"))
    frames = arrays.get("training_set")
    if frames is None:
        raise _problems(
            path, [Problem(path.name, "must hold training_set (frames and masks)", "none")]
        )
    if (
        frames.ndim != 4
        or frames.shape[1] != 2
        or 0 in frames.shape
        or frames.dtype not in PIXEL_TYPES
    ):
        rule = "must be uint8 (N, 2, H, W): frames in [:, 0], masks in [:, 1]"
        raise _problems(path, [Problem("training_set", rule, f"{frames.dtype} {frames.shape}")])
    groups, problems = _read_groups(arrays.get("training_groups"), len(frames))
    classes, class_problems = _read_class_names(arrays.get("class_names"))
    return ArraySource(
        frames[:, 0, :, :, None], frames[:, 1], groups, classes, tuple(problems + class_problems)
    )


def read_test_set(path: Path) -> np.ndarray:
    """Return the unlabelled frames of an npz as (N, H, W, C): its ``test_set``, (N, H, W) or (N, H,
    W, C).

    Raises:
        ProblemsError: The file is damaged, has no ``test_set``, or one of another shape or type.
    """
    frames = _read_arrays(path, ("test_set",)).get("test_set")
    if frames is None:
        raise _problems(
            path, [Problem(path.name, "must hold test_set (frames to predict)", "none")]
        )
    if frames.ndim not in (3, 4) or 0 in frames.shape or frames.dtype not in PIXEL_TYPES:
        raise _problems(
            path,
            [
                Problem(
                    "test_set",
                    "must be uint8 or uint16 (N, H, W)",
                    f"{frames.dtype} {frames.shape}",
                )
            ],
        )
    return frames if frames.ndim == 4 else frames[..., None]


def _problems(path: Path, problems: list[Problem]) -> ProblemsError:
    return ProblemsError(str(path), problems)


def _read_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        # by us: np.load leaves a damaged file open
        with warnings.catch_warnings(action="ignore"), path.open("rb") as opened:
            # an array of objects is refused, never unpickled
            archive = np.load(opened, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array")
            wanted = [key for key in keys if key in archive.files]
            _refuse_larger_than_memory(archive, wanted)
            return {key: _plain(archive[key], key) for key in wanted}
    # what the zip, the inflater and numpy's header parser raise on foreign bytes is open-ended
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _problems(
            path, [Problem(path.name, "must be a readable npz of plain arrays", reason[:200])]
        ) from error


def _refuse_larger_than_memory(archive: np.lib.npyio.NpzFile, keys: list[str]) -> None:
    """Refuse an archive that states more bytes than memory holds; no more than it states is
    ever unpacked of a member.
    """
    assert archive.zip is not None
    stated = {info.filename.removesuffix(".npy"): info.file_size for info in archive.zip.infolist()}
    needed = sum(stated.get(key, 0) for key in keys)
    free = psutil.virtual_memory().available
    if needed > FULLEST * free:
        raise ValueError(
            f"its arrays take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB of memory are "
            f"free"
        )


def _plain(value: object, key: str) -> np.ndarray:
    """Return the array itself: numpy gives the bytes of a member that is none, and text may hold
    what is no character.
    """
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{key} is no array")
    if value.dtype.kind == "U":
        value.tolist()  # raises ValueError
    return value


def _read_groups(groups: np.ndarray | None, count: int) -> tuple[tuple[str, ...], list[Problem]]:
    if groups is None:
        return (), []
    if groups.shape != (count,) or groups.dtype.kind not in "iuSU":
        value = f"{groups.dtype} {groups.shape}"
        return (), [
            Problem(
                "training_groups", f"must hold one whole number or name per frame ({count},)", value
            )
        ]
    return tuple(str(group) for group in groups.tolist()), []


def _read_class_names(names: np.ndarray | None) -> tuple[Classes | None, list[Problem]]:
    if names is None:
        return None, []
    if (
        names.ndim == 1
        and names.dtype.kind == "U"
        and 2 <= len(set(names.tolist())) == len(names) <= MOST_CLASSES
    ):
        broken = [
            Problem("class_names", CLASS_NAME, repr(name))
            for name in names.tolist()
            if not is_class_name(name)
        ]
        return (
            (None, broken) if broken else (named_classes(tuple(names.tolist()), ignore_label=0), [])
        )
    return None, [
        Problem(
            "class_names",
            f"must be 2 to {MOST_CLASSES} different names",
            f"{names.dtype} {names.shape}",
        )
    ]


@final
@dataclass(frozen=True)
class NpzReader:
    """Reads an npz file."""

    path: Path

    def labelled(self, reading: PixelReading) -> ArraySource:
        """Return its ``training_set``; arrays have no orientation tag."""
        return replace(read_npz(self.path), reading=reading)

    def images(self, reading: PixelReading, *, banded: bool = False) -> Sequence[NamedImage]:
        """Return its ``test_set``."""
        return numbered(read_test_set(self.path), reading)

    def stamp(self) -> str:
        """Return a text that changes when the file does."""
        path = self.path.resolve()
        return stamp_of(path, [str(path)])
