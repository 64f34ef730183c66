"""Large TIFF files read from their first row to their last, a band at a time: no more of one is held than
is looked at.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import tifffile
from tifffile import PHOTOMETRIC

from objectives.data.options import PixelReading
from objectives.data.reading.conversion import converted
from objectives.data.reading.decode import refused
from objectives.data.reading.raster import RefusalError
from objectives.data.reading.tiff_file import JPEGS, lone_page

LARGE: Final = 2**24  # pixels of a file that is read in bands: 4096 x 4096
# where a GeoTIFF says what part of the earth it shows; its no-data value is of the image, not of labels
GEOREFERENCE: Final = (33550, 33922, 34264, 34735, 34736, 34737)
_AT_ONCE: Final = 2**24  # bytes of a file that are read together
_TOP_LEFT: Final = 1  # of the values of the tag Orientation


# a tag of a TIFF as `tifffile` writes it: code, type, count, value, and whether it is written once
ExtraTag = tuple[int, int, int, Any, bool]


@final
class BandedTiff:
    """Pixels (H, W, C) uint8 or uint16 of a TIFF, which are decoded when they are asked for:
    ``image[rows, columns]`` with slices.

    Rows must be asked for from above to below; going back begins anew.

    Raises:
        ProblemsError: When asked for pixels: they cannot be decoded.
    """

    ndim = 3

    def __init__(self, path: Path, where: str, reading: PixelReading) -> None:
        self.path = path
        self.where = where
        self.reading = reading
        with tifffile.TiffFile(path) as opened:
            page = lone_page(opened)
            self.stored_shape = page.imagelength, page.imagewidth, page.samplesperpixel
            self.stored_dtype = np.dtype(page.dtype)
            self.georeference = tuple(_extra_tags(page))
        probe = converted(np.zeros((1, 1, self.stored_shape[2]), self.stored_dtype), reading)
        self.dtype = probe.dtype.newbyteorder("=")
        self.shape = *self.stored_shape[:2], probe.shape[2]
        self._rewind()

    def __getitem__(self, where: tuple[slice, slice]) -> np.ndarray:
        first, end, _ = where[0].indices(self.shape[0])
        if first < self._first:
            self._rewind()
        try:
            self._read_to(end)
        except RefusalError as refusal:
            raise refused(self.where, refusal.rule, refusal.value) from refusal
        except Exception as error:  # what a decoder raises on foreign bytes is open-ended
            reason = " ".join(str(error).split()) or type(error).__name__
            raise refused(self.where, "the file must be a readable image", reason[:200]) from error
        self._let_go_of(first)
        return self._held_HWC[first - self._first : end - self._first, where[1]]

    def _rewind(self) -> None:
        self._first = 0
        self._held_HWC = np.zeros((0, *self.shape[1:]), self.dtype)
        self._bands = self._decoded()

    def _let_go_of(self, first: int) -> None:
        """Forget the rows above; a copy, as a view would keep them."""
        if first > self._first:
            self._held_HWC = self._held_HWC[first - self._first :].copy()
            self._first = first

    def _read_to(self, end: int) -> None:
        parts = [self._held_HWC]
        rows = self._first + len(self._held_HWC)
        while rows < end:
            parts.append(np.asarray(converted(next(self._bands), self.reading), self.dtype))
            rows += len(parts[-1])
        if len(parts) > 1:
            self._held_HWC = np.concatenate(parts)

    def _decoded(self) -> Iterator[np.ndarray]:
        """Yield the rows of one strip or row of tiles after the other, as they are stored."""
        with tifffile.TiffFile(self.path) as opened:
            page = lone_page(opened)
            height, width, channels = self.stored_shape
            rows, columns = _segment_size(page)
            across = -(-width // columns)
            band_HWC = np.zeros((0, width, channels), self.stored_dtype)
            for number, (pixels, corner, _) in enumerate(
                page.segments(maxworkers=1, buffersize=_AT_ONCE)
            ):
                top = number // across * rows
                if number % across == 0:
                    size = min(rows, height - top)
                    band_HWC = np.full((size, width, channels), page.nodata, self.stored_dtype)
                if pixels is not None:  # GDAL leaves out what is all no-data
                    left = corner[3]
                    inside = pixels[0, : len(band_HWC), : width - left]  # tiles reach beyond it
                    band_HWC[:, left : left + inside.shape[1]] = inside
                if number % across == across - 1:
                    yield band_HWC


def open_banded(path: Path, where: str, reading: PixelReading) -> BandedTiff | None:
    """Return a TIFF to be read in bands, as large ones and GeoTIFFs are; None for any other file, and for
    one whose pixels are not stored as they are meant.
    """
    try:
        with path.open("rb") as opened:
            if opened.read(4)[:2] not in (b"II", b"MM"):
                return None
        with tifffile.TiffFile(path) as tiff:
            page = lone_page(tiff)
            large = page.imagelength * page.imagewidth >= LARGE
            placed = any(code in page.tags for code in GEOREFERENCE)
            wanted = (large or placed) and _is_plain(page, reading)
        return BandedTiff(path, where, reading) if wanted else None
    except Exception:  # whatever is wrong, the reader of whole files has words for it
        return None


def _is_plain(page: tifffile.TiffPage, reading: PixelReading) -> bool:
    turned = page.tags.valueof("Orientation", _TOP_LEFT) != _TOP_LEFT and reading.exif == "turn"
    kinds = {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB}
    if page.compression in JPEGS:
        kinds.add(PHOTOMETRIC.YCBCR)  # the codec converts
    whole_samples = page.bitspersample in (8, 16, 32, 64)
    return page.axes in ("YX", "YXS") and page.photometric in kinds and whole_samples and not turned


def _segment_size(page: tifffile.TiffPage) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _extra_tags(page: tifffile.TiffPage) -> Iterator[ExtraTag]:
    for code in GEOREFERENCE:
        if (tag := page.tags.get(code)) is not None:
            yield code, int(tag.dtype), tag.count, tag.value, True
