"""What people call the frames in lists and tables: with or without folders and suffix."""

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Mapping

from objectives.data.reading.image_forms import SUFFIXES


def spellings(places: Mapping[str, str]) -> dict[str, str]:
    """Return each way to write a frame, and the name that is meant.

    ``places`` are the paths of the images by name. A bare file name is one where no other frame has
    it.
    """
    paths = {name: unicodedata.normalize("NFC", place) for name, place in places.items()}
    bare = Counter(_stem(posixpath.basename(path)) for path in paths.values())
    known: dict[str, str] = {}
    for name, path in paths.items():
        file = posixpath.basename(path)
        if bare[_stem(file)] == 1:
            known |= {file: name, _stem(file): name}
    for name, path in paths.items():
        known |= {path: name, _stem(path): name, name + path[len(_stem(path)) :]: name}
    return known | {name: name for name in places}


def frame_meant(text: str, known: Mapping[str, str]) -> str | None:
    """Return the frame that a text means: Windows writes sub\\a.png, and a converted image keeps
    its name but for the suffix.
    """
    written = unicodedata.normalize("NFC", text)
    for spelled in (written, written.replace("\\", "/")):
        path = spelled.removeprefix("./")
        if name := known.get(path) or known.get(_without_suffix(path)):
            return name
    return None


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]


def _without_suffix(path: str) -> str:
    stem, suffix = posixpath.splitext(path)
    return stem if suffix.lower() in SUFFIXES else path
