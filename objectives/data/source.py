"""From the word that a user gives (a path, ``synthetic``) to a source of frames."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from objectives.data.folder import read_folder
from objectives.data.frames import Source
from objectives.data.npz import read_npz
from objectives.data.synthetic import GENERATOR_VERSION, is_synthetic, read_synthetic
from objectives.errors import Problem, ProblemsError


def open_source(source: str) -> Source:
    """The labelled frames behind a path (npz or folder) or ``synthetic[:COUNT][:seed=S]``.

    Raises:
        ProblemsError: there is nothing there, or it cannot be read at all.
    """
    if is_synthetic(source):
        return read_synthetic(source)
    path = existing_path(source)
    try:
        return read_folder(path) if path.is_dir() else read_npz(path)
    except OSError as error:
        raise ProblemsError(source, [Problem(source, "must be readable", error.strerror or str(error))]) from error


def existing_path(source: str | Path) -> Path:
    """The path of a source.

    Raises:
        ProblemsError: nothing is there.
    """
    try:
        path = Path(source).expanduser()
        path.stat()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte; ~stranger
        rule = "must be an npz file, a folder with images/ and masks/, or the word synthetic"
        raise ProblemsError(
            str(source), [Problem(str(source), rule, getattr(error, "strerror", None) or str(error))]
        ) from error
    return path


def source_stamp(source: str) -> str:
    """A short text that changes when the source's files do (path, size, time of change); costs no reading.

    Raises:
        ProblemsError: nothing is there.
    """
    if is_synthetic(source):
        return f"{source} {GENERATOR_VERSION}"
    path = existing_path(source).resolve()
    digest = hashlib.sha256(os.fsencode(path))
    for file in sorted(_files(path)) if path.is_dir() else [str(path)]:
        facts = os.lstat(file) if not os.path.exists(file) else os.stat(file)  # noqa: PTH110, PTH116 - a Path each is slow
        digest.update(os.fsencode(file) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    yield from (str(path) for name in ("groups.csv", "classes.yaml") if (path := folder / name).exists())
    for part in ("images", "masks"):
        for root, _, names in os.walk(folder / part):
            yield from (f"{root}/{name}" for name in names)
