"""From the word that a user gives (a path, ``synthetic``) to a source of frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from objectives.data.options import AS_FILES_SAY, DataOptions, PixelReading
from objectives.data.reading.array_layout import says_npz
from objectives.data.reading.folder_reader import FolderReader
from objectives.data.reading.frames import FrameSource
from objectives.data.reading.image_file import ImageFileReader
from objectives.data.reading.image_forms import NO_VOLUMES, is_volume
from objectives.data.reading.npz import NpzReader
from objectives.data.reading.on_demand import NamedImage
from objectives.data.reading.settings_files import LAYOUT, settings_file
from objectives.data.reading.synthetic import SyntheticReader, is_synthetic
from objectives.errors import Problem, ProblemsError

# files that hold labelled images, and are no frames yet
NOT_FRAMES = {
    ".json": "must be frames; an export is turned into frames by `search data import`",
    ".parquet": "must be frames; images of a Parquet file must be saved as files first",
}
LABELLED = (
    "must be an npz file, a folder with images/ and masks/, a data.yaml, or the word synthetic"
)
TO_PREDICT = "must be an npz file, a folder of images, an image file, or the word synthetic"


class Reader(Protocol):
    """What reads one kind of source. Adding one: a file with such a class, and a line of
    `reader_of`.
    """

    def labelled(self, reading: PixelReading) -> FrameSource:
        """Return its labelled frames, images as ``reading`` wants them.

        Raises:
            ProblemsError: It cannot be read at all.
        """

    def images(self, reading: PixelReading) -> Sequence[NamedImage]:
        """Return the frames to predict.

        Raises:
            ProblemsError: It has none.
        """

    def stamp(self) -> str:
        """Return a short text that changes when its content does; costs no reading."""


def reader_of(source: str, rule: str = LABELLED) -> Reader:
    """Return what reads a path (npz, folder, data.yaml or image file) or ``synthetic[:COUNT][:seed=S]``;
    ``rule`` says what is wanted where nothing is.

    Raises:
        ProblemsError: Nothing is there, or an export of a labelling tool, or a data.yaml names no
            npz.
    """
    if is_synthetic(source):
        return SyntheticReader(source)
    path = existing_path(source, rule)
    if path.is_dir() or path.suffix.lower() in (".yaml", ".yml"):
        stated = settings_file(path, LAYOUT) if path.is_dir() else path
        return NpzReader.of(stated) if says_npz(stated) else FolderReader(path)
    if never := NO_VOLUMES if is_volume(path.name) else NOT_FRAMES.get(path.suffix.lower(), ""):
        raise ProblemsError(source, [Problem(path.name, never, f"a {path.suffix[1:]} file")])
    if ImageFileReader.reads(path):
        return ImageFileReader(path)
    return NpzReader(path)


def open_source(source: str, reading: PixelReading = AS_FILES_SAY) -> FrameSource:
    """Return the labelled frames of a source.

    Raises:
        ProblemsError: Nothing is there, or it cannot be read at all.
    """
    reader = reader_of(source)
    try:
        return reader.labelled(reading)
    except OSError as error:
        raise ProblemsError(
            source, [Problem(source, "must be readable", error.strerror or str(error))]
        ) from error


def open_labelled(source: str, options: DataOptions) -> FrameSource:
    """Return the labelled frames of a source, with the ignored label that the options name.

    Raises:
        ProblemsError: Nothing is there, or it cannot be read at all.
    """
    opened = open_source(source, options.reading)
    unfit = next(options.problems(), None)
    if not options.ignore or opened.classes is None or unfit:
        return opened
    return opened.read_as(opened.classes.ignoring(options.ignore))


def existing_path(source: str | Path, rule: str = LABELLED) -> Path:
    """Return the path of a source.

    Raises:
        ProblemsError: Nothing is there.
    """
    try:
        path = Path(source).expanduser()
        path.stat()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte; ~stranger
        raise ProblemsError(
            str(source),
            [Problem(str(source), rule, getattr(error, "strerror", None) or str(error))],
        ) from error
    return path


def source_stamp(source: str) -> str:
    """Return a short text that changes when the source's files do.

    Raises:
        ProblemsError: Nothing is there.
    """
    return reader_of(source).stamp()
