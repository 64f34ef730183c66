"""A folder as a source: labelled frames as its layout says, or images alone to predict."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from objectives.data.options import PixelReading
from objectives.data.reading.folder import read_folder
from objectives.data.reading.folder_source import FolderSource
from objectives.data.reading.frame_files import find_images, named_in_tables
from objectives.data.reading.image_file import image_of
from objectives.data.reading.image_forms import FORMS
from objectives.data.reading.known_layouts import PLAIN, LaidOut, laid_out
from objectives.data.reading.layout import Layout
from objectives.data.reading.on_demand import NamedImage, ReadOnDemand
from objectives.data.reading.pattern import Pattern
from objectives.data.reading.settings_files import seen_files
from objectives.data.reading.stamps import stamp_of
from objectives.data.reading.walk import list_files
from objectives.errors import Problem, ProblemsError, condensed

_WITHIN = Layout(PLAIN.images, PLAIN.images)  # images alone
_ITS_OWN = Layout((Pattern("{path}.*"),), (Pattern("{path}.*"),))


@final
@dataclass(frozen=True)
class FolderReader:
    """Reads a folder, or what a data.yaml says."""

    path: Path

    def labelled(self, reading: PixelReading) -> FolderSource:
        """Return its labelled frames."""
        return read_folder(self.path, reading)

    def images(self, reading: PixelReading, *, banded: bool = False) -> Sequence[NamedImage]:
        """Return the images that its data.yaml names, else of its ``images/``, or its own; each is
        decoded when it is asked for. What cannot be an image comes last, and raises then.
        """
        where = laid_out(self.path)
        layout = where.layout
        if where.assumed and layout.table is None:
            layout = _WITHIN if (self.path / "images").is_dir() else _ITS_OWN
        return _images_of_folder(where.root, layout, reading.or_else(layout.reading), banded=banded)

    def stamp(self) -> str:
        """Return a text that changes when one of its files does."""
        path = self.path.resolve()
        files, problems = _files(path)
        return stamp_of(path, files, "".join(map(str, problems)))


def _images_of_folder(
    root: Path, layout: Layout, reading: PixelReading, *, banded: bool
) -> Sequence[NamedImage]:
    images, problems = find_images(root, layout)
    folder = root / layout.above
    if not images:
        problems.append(Problem(str(folder), f"must hold {FORMS} files", "none"))
        raise ProblemsError(str(root), condensed(problems))
    # names as the files have them, in whatever normal form: masks are looked for under them
    named = [
        (path.relative_to(folder if path.is_relative_to(folder) else root), path)
        for path in images.values()
    ]
    items = sorted(
        ((below.with_suffix("").as_posix(), path) for below, path in named),
        key=lambda item: _by_number(item[0]),
    )

    def read(index: int) -> NamedImage:
        if index >= len(items):  # a file that is none that is read: as one that cannot be
            raise ProblemsError(str(root), [problems[index - len(items)]])
        name, path = items[index]
        return name, image_of(path, path.relative_to(root).as_posix(), reading, banded=banded)

    return ReadOnDemand(len(items) + len(problems), read)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sorts names as people count: frame2 before frame10."""
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]


def _files(path: Path) -> tuple[list[str], list[Problem]]:
    """Return the files that frames, groups, parts and classes are read from or may hide in, and
    what cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    problems: list[Problem] = []
    try:
        where = laid_out(path)
    except ProblemsError as error:
        problems += error.problems
        where = LaidOut(folder, folder, PLAIN, assumed=True)
    layout = where.layout
    listings = [
        list_files(where.root / below, where.root)
        for below in layout.folders
        if (where.root / below).is_dir()
    ]
    texts = [where.settings / file for _, files in layout.parts for file in files]
    texts += [where.settings / layout.parts_file] if layout.parts_file else []
    texts += [path] if path != folder else []
    files = [str(text) for text in (*texts, *seen_files(folder)) if os.path.lexists(text)]
    files += [file for listing in listings for file in listing.files]
    if layout.table:
        files += [str(file) for file in named_in_tables(where.root, layout)]
    problems += [problem for listing in listings for problem in listing.problems]
    return sorted(set(files)), problems
