"""A folder as a source: labelled frames in ``images/`` and ``masks/``, or images alone to
predict.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from objectives.data.options import Exif
from objectives.data.reading.decode import decode_image
from objectives.data.reading.folder import FolderSource, find_images, read_folder
from objectives.data.reading.on_demand import NamedImage, ReadOnDemand
from objectives.data.reading.raster import FORMS
from objectives.data.reading.settings_files import seen_files
from objectives.data.reading.stamps import stamp_of
from objectives.data.reading.walk import list_files
from objectives.errors import Problem, ProblemsError, condensed


@final
@dataclass(frozen=True)
class FolderReader:
    """Reads a folder."""

    path: Path

    def labelled(self, exif: Exif) -> FolderSource:
        """Return its labelled frames."""
        return read_folder(self.path, exif)

    def images(self, exif: Exif) -> Sequence[NamedImage]:
        """Return the images of its ``images/``, or its own; each is decoded when it is
        asked for.
        """
        return _images_of_folder(self.path, exif)

    def stamp(self) -> str:
        """Return a text that changes when one of its files does."""
        folder = self.path.resolve()
        files, problems = _files(folder)
        return stamp_of(folder, files, "".join(map(str, problems)))


def _images_of_folder(root: Path, exif: Exif) -> Sequence[NamedImage]:
    folder = root / "images" if (root / "images").is_dir() else root
    images, problems = find_images(folder, root)
    if not images:
        problems.append(Problem(str(folder), f"must hold {FORMS} files", "none"))
    if problems:
        raise ProblemsError(str(root), condensed(problems))
    # names as the files have them, in whatever normal form: masks are looked for under them
    named = [
        (path.relative_to(folder).with_suffix("").as_posix(), path) for path in images.values()
    ]
    items = sorted(named, key=lambda item: _by_number(item[0]))

    def read(index: int) -> NamedImage:
        name, path = items[index]
        return name, decode_image(path, path.relative_to(root).as_posix(), exif)

    return ReadOnDemand(len(items), read)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sorts names as people count: frame2 before frame10."""
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]


def _files(folder: Path) -> tuple[list[str], list[Problem]]:
    """Return the files that frames, groups and classes are read from or may hide in, and the
    folders and links that cannot be read.
    """
    listings = [
        list_files(folder / part, folder)
        for part in ("images", "masks")
        if (folder / part).is_dir()
    ]
    files = [str(path) for path in seen_files(folder)]
    files += [file for listing in listings for file in listing.files]
    return sorted(set(files)), [problem for listing in listings for problem in listing.problems]
