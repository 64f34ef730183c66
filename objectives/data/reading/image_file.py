"""One image file as a source: an image to predict, which has no mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, final

import numpy as np

from objectives.data.options import PixelReading
from objectives.data.reading.banded import open_banded
from objectives.data.reading.decode import decode_image
from objectives.data.reading.folder_source import FolderSource
from objectives.data.reading.image_forms import SUFFIXES
from objectives.data.reading.on_demand import NamedImage, ReadOnDemand
from objectives.data.reading.stamps import stamp_of
from objectives.errors import Problem, ProblemsError


@final
@dataclass(frozen=True)
class ImageFileReader:
    """Reads an image file."""

    path: Path

    @staticmethod
    def reads(path: Path) -> bool:
        """Return whether a file is one by its name."""
        return path.suffix.lower() in SUFFIXES

    def labelled(self, reading: PixelReading) -> FolderSource:
        """Refuse it: it has no mask.

        Raises:
            ProblemsError: Always.
        """
        rule = "must be a folder with images/ and masks/, or its data.yaml"
        raise ProblemsError(str(self.path), [Problem(self.path.name, rule, "one image file")])

    def images(self, reading: PixelReading, *, banded: bool = False) -> Sequence[NamedImage]:
        """Return the image, under its name without the suffix, decoded when it is asked for."""

        def read(_: int) -> NamedImage:
            image = image_of(self.path, self.path.name, reading, banded=banded)
            return self.path.stem, image

        return ReadOnDemand(1, read)

    def stamp(self) -> str:
        """Return a text that changes when it does."""
        path = self.path.resolve()
        return stamp_of(path.parent, [str(path)], "")


def image_of(path: Path, where: str, reading: PixelReading, *, banded: bool) -> np.ndarray:
    """Return the pixels (H, W, C) of an image file, called ``where`` in messages. With ``banded`` a
    large TIFF or GeoTIFF is a `BandedTiff`, which is cut like an array.

    Raises:
        ProblemsError: It cannot be decoded, or has other pixels than ``reading`` takes.
    """
    if banded and (in_bands := open_banded(path, where, reading)):
        return cast("np.ndarray", in_bands)
    return decode_image(path, where, reading)
