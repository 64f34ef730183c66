"""What people call the frames in lists and tables: with or without folders and suffix."""

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

from objectives.data.reading.image_forms import SUFFIXES


def spellings(places: Mapping[str, str]) -> dict[str, str]:
    """Return each way to write a frame, and the name that is meant.

    ``places`` are the paths of the images by name. A bare file name is one where no other frame has
    it.
    """
    known: dict[str, str] = {}
    bare = Counter(PurePosixPath(place).stem for place in places.values())
    for name, place in places.items():
        path = PurePosixPath(unicodedata.normalize("NFC", place))
        if bare[path.stem] == 1:
            known |= {path.name: name, path.stem: name}
    for name, place in places.items():
        path = PurePosixPath(unicodedata.normalize("NFC", place))
        known |= dict.fromkeys((str(path), str(path.with_suffix("")), name + path.suffix), name)
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


def _without_suffix(path: str) -> str:
    stem, suffix = os.path.splitext(path)  # noqa: PTH122 - it is text
    return stem if suffix.lower() in SUFFIXES else path
