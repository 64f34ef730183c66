"""What every export says, whatever tool wrote it: images, their objects, and the names of the classes."""

import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL import Image
from pydantic import BaseModel, TypeAdapter, ValidationError

from objectives.errors import Problem, ProblemsError
from objectives.importing.drawing import Shape

Read = TypeVar("Read")

_ORIENTATION = 0x0112  # EXIF tag
_TURNED = {5, 6, 7, 8}  # its values that swap height and width
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"}


@dataclass(frozen=True)
class Annotated:
    """An image and its objects. ``file`` is where it lies, or its bytes; ``name`` that of its file in the new folder, with
    folders before it; ``size`` (H, W) is that in which the shapes are written.
    """

    file: Path | bytes
    name: str
    size: tuple[int, int]
    shapes: Sequence[Shape]


@dataclass
class Export:
    """An export as it was read, with all that is wrong with it. ``names`` are its classes in its order; ``left_out`` counts
    what is not drawn, by the reason.
    """

    names: Sequence[str]
    images: list[Annotated] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def problem(self, where: str, rule: str, value: object) -> None:
        """Add a problem."""
        self.problems.append(Problem(where, rule, str(value)))


class Part(BaseModel):
    """A piece of an export; what it says beside these fields is left alone."""


def read_json(path: Path, form: type[Read]) -> Read:
    """Return what a JSON file holds.

    Raises:
        ProblemsError: It is none, or not of this form; the first rules that it breaks are named.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ProblemsError(
            str(path), [Problem(path.name, "must be readable JSON", str(error))]
        ) from error
    try:
        return TypeAdapter(form).validate_python(content)
    except ValidationError as error:
        raise ProblemsError(str(path), list(_broken(error, path.name))) from error


def _broken(error: ValidationError, where: str) -> Iterable[Problem]:
    for each in error.errors(include_url=False, include_context=False):
        place = ".".join(map(str, each["loc"]))
        yield Problem(f"{where}: {place}", each["msg"], repr(each["input"]))


@dataclass(frozen=True)
class Found:
    """An image that lies there, and its name in the new folder."""

    file: Path
    name: str


def find_image(name: str, folders: Sequence[Path]) -> Found | None:
    """Return where an image of this name lies: in a folder, by the whole path that it is named by, else by its last part."""
    plain = name.replace("\\", "/").lstrip("/")
    for candidate in (plain, Path(plain).name):
        for folder in folders:
            if plain and (folder / candidate).is_file():
                return Found(folder / candidate, name_in_folder(folder / candidate, folder))
    return None


def name_in_folder(path: Path, folder: Path) -> str:
    """Return an image's name below a folder, its last part alone where it lies elsewhere."""
    whole, base = Path(os.path.normpath(path)), Path(os.path.normpath(folder))
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else path.name


@dataclass(frozen=True)
class StoredSize:
    """The height and width of an image as its pixels lie, and as its orientation tag shows it."""

    stored: tuple[int, int]
    shown: tuple[int, int]


def stored_size(file: Path | bytes) -> StoredSize:
    """Return the size of an image, by its header alone.

    Raises:
        OSError: It is no image, or a damaged one.
    """
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
        width, height = opened.size
        turned = opened.getexif().get(_ORIENTATION, 1) in _TURNED
    return StoredSize((height, width), (width, height) if turned else (height, width))
