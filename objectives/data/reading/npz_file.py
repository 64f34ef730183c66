"""The arrays that an npz file holds: plain ones, and never more than memory has room for."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import psutil

from objectives.errors import Problem, ProblemsError

FULLEST = 0.9  # share of the free memory that the arrays may take


def array_names(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays that an npz holds.

    Raises:
        ProblemsError: The file is damaged, or holds something else.
    """
    with _opened(path) as archive:
        return tuple(dict.fromkeys(archive.files))


def read_arrays(path: Path, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Return those of the arrays that an npz holds.

    Raises:
        ProblemsError: The file is damaged, too large for the memory, or holds something else.
    """
    with _opened(path) as archive:
        wanted = [key for key in dict.fromkeys(keys) if key in archive.files]
        _refuse_larger_than_memory(archive, wanted)
        return {key: _plain(archive[key], key) for key in wanted}


@contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Yield the archive; whatever it raises is a problem of the file."""
    try:
        # by us: np.load leaves a damaged file open
        with warnings.catch_warnings(action="ignore"), path.open("rb") as opened:
            _refuse_other_kinds(opened)
            # an array of objects is refused, never unpickled
            yield np.load(opened, allow_pickle=False)
    # what the zip, the inflater and numpy's header parser raise on foreign bytes is open-ended
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        problem = Problem(path.name, "must be a readable npz of plain arrays", reason[:200])
        raise ProblemsError(str(path), [problem]) from error


def _refuse_other_kinds(opened: IO[bytes]) -> None:
    """Refuse a file that does not begin as an npz does: numpy would take it for pickled objects."""
    begins = opened.read(6)
    opened.seek(0)
    if not begins.startswith(b"PK"):
        kinds = {b"": "an empty file", b"\x93NUMPY": "a single array"}
        raise ValueError(kinds.get(begins, "another kind of file"))


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
    return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
