"""From the word that a user gives (a path, ``synthetic``) to a source of frames."""

import hashlib
import os
from pathlib import Path

from objectives.data.options import Exif
from objectives.data.reading.folder import read_folder
from objectives.data.reading.frames import Source
from objectives.data.reading.npz import read_npz
from objectives.data.reading.settings_files import seen_files
from objectives.data.reading.synthetic import GENERATOR_VERSION, is_synthetic, read_synthetic
from objectives.data.reading.walk import list_files
from objectives.errors import Problem, ProblemsError


def open_source(source: str, exif: Exif = "turn") -> Source:
    """The labelled frames behind a path (npz or folder) or ``synthetic[:COUNT][:seed=S]``; ``exif`` as in `DataOptions`.

    Raises:
        ProblemsError: There is nothing there, or it cannot be read at all.
    """
    if is_synthetic(source):
        return read_synthetic(source)
    path = existing_path(source)
    try:
        return read_folder(path, exif) if path.is_dir() else read_npz(path)
    except OSError as error:
        raise ProblemsError(source, [Problem(source, "must be readable", error.strerror or str(error))]) from error


def existing_path(source: str | Path) -> Path:
    """The path of a source.

    Raises:
        ProblemsError: Nothing is there.
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
        ProblemsError: Nothing is there.
    """
    if is_synthetic(source):
        return f"{source} {GENERATOR_VERSION}"
    path = existing_path(source).resolve()
    digest = hashlib.sha256(os.fsencode(path))
    files, problems = _files(path) if path.is_dir() else ([str(path)], [])
    for file in files:
        facts = os.lstat(file) if not os.path.exists(file) else os.stat(file)  # noqa: PTH110, PTH116 - a Path each is slow
        digest.update(os.fsencode(file) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    digest.update("".join(map(str, problems)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> tuple[list[str], list[Problem]]:
    """The files that frames, groups and classes are read from or may hide in, and the folders and links that cannot be read."""
    listings = [list_files(folder / part, folder) for part in ("images", "masks") if (folder / part).is_dir()]
    files = [str(path) for path in seen_files(folder)]
    files += [file for listing in listings for file in listing.files]
    return sorted(set(files)), [problem for listing in listings for problem in listing.problems]
