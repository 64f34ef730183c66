"""TIFF files as rasters: one image with every channel and bit, whatever its compression, layout and
byte order.
"""

import io
import logging
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC

from objectives.data.reading.image_forms import NO_VOLUMES
from objectives.data.reading.raster import (
    MOST_VALUES,
    ONE_IMAGE,
    Raster,
    RefusalError,
    Tags,
    too_large,
)

# its complaints reach the user as problems
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

# bits of the tag NewSubfileType: a preview of another page, a mask of its valid pixels
_REDUCED = 1
_VALIDITY = 4
_NO_DATA = 42113
_MOST_PAGES = 10_000
JPEGS = {COMPRESSION.OJPEG, COMPRESSION.JPEG}
_LOSSLESS = {
    *(
        COMPRESSION.NONE,
        COMPRESSION.PACKBITS,
        COMPRESSION.LZW,
        COMPRESSION.LZMA,
        COMPRESSION.ZSTD,
        COMPRESSION.PNG,
    ),
    *(COMPRESSION.CCITTRLE, COMPRESSION.CCITTFAX3, COMPRESSION.CCITTFAX4),
    *(COMPRESSION.DEFLATE, COMPRESSION.ADOBE_DEFLATE),
}
_PLAIN = {
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.PALETTE,
    PHOTOMETRIC.SEPARATED,
}


def read_tiff(data: bytes) -> Raster:
    """Return the one image of a TIFF; previews beside it do not count.

    Raises:
        RefusalError: It holds several images, or pixels of a kind that is not read.
        Exception: It is damaged; what decoders raise on foreign bytes is open-ended.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        pages = list(_pages(opened.pages, set()))
        full = _full(pages)
        page = full[0]
        bits = _sample_bits(page)
        _refuse_colours(page)
        pixels = (
            _channels_last(page, _array(page)) if len(full) == 1 else _stacked(opened, len(full))
        )
        known = page.compression in set(COMPRESSION)
        return Raster(
            pixels,
            f"a TIFF with {COMPRESSION(page.compression).name if known else page.compression} "
            f"compression",
            bits,
            _palette(page),
            white_is_zero=page.photometric == PHOTOMETRIC.MINISWHITE,
            lossless=page.compression in _LOSSLESS,
            tags=_tags(page, any(other.subfiletype & _VALIDITY for other in pages)),
        )


def lone_page(opened: tifffile.TiffFile) -> tifffile.TiffPage:
    """Return the one image of a TIFF.

    Raises:
        RefusalError: It holds several.
    """
    full = _full(list(_pages(opened.pages, set())))
    if len(full) > 1:
        raise RefusalError(ONE_IMAGE, f"a TIFF of {len(full)} pages")
    return full[0]


def _full(pages: list[tifffile.TiffPage]) -> list[tifffile.TiffPage]:
    """Return those that are no previews."""
    full = [page for page in pages if not page.subfiletype & (_REDUCED | _VALIDITY)]
    if not full:
        raise RefusalError(ONE_IMAGE, "a TIFF of previews only")
    return full


def _pages(directories: Iterable[Any], seen: set[int]) -> Iterator[tifffile.TiffPage]:
    """Yield every page and those below it; the places of directories come from the file, which may
    lead in circles.
    """
    for page in directories:
        if page.offset in seen or len(seen) > _MOST_PAGES:
            raise ValueError(f"its directories form a circle, or are more than {_MOST_PAGES}")
        seen.add(page.offset)
        yield page
        yield from _pages(page.pages or (), seen)


def _sample_bits(page: tifffile.TiffPage) -> int:
    stated = page.bitspersample if isinstance(page.bitspersample, tuple) else (page.bitspersample,)
    if len(set(stated)) != 1:
        raise RefusalError(
            "all channels of a TIFF must have the same bit depth", ", ".join(map(str, stated))
        )
    return int(stated[0])


def _refuse_colours(page: tifffile.TiffPage) -> None:
    """Refuse pixels that are neither grey, red-green-blue, inks nor indices once they are
    decoded.
    """
    # the codec converts
    is_rgb_again = page.photometric == PHOTOMETRIC.YCBCR and page.compression in JPEGS
    if not (page.photometric in _PLAIN or is_rgb_again):
        known = page.photometric in set(PHOTOMETRIC)
        name = PHOTOMETRIC(page.photometric).name if known else str(page.photometric)
        raise RefusalError(
            "a TIFF must be grey, RGB, CMYK or have a palette; convert it", f"photometric {name}"
        )
    if page.photometric == PHOTOMETRIC.PALETTE and (
        page.samplesperpixel != 1 or page.colormap is None
    ):
        raise RefusalError(
            "a TIFF with a palette must have it, and one channel",
            f"{page.samplesperpixel} channels",
        )


def _array(page: tifffile.TiffPage) -> np.ndarray:
    _refuse_size(page.shape)
    stated = math.prod(page.chunked)
    listed = len(page.dataoffsets)
    # each would be asked for and filled: a small file may state millions
    if stated > listed and not page.is_contiguous:
        raise ValueError(f"{stated - listed} of its {stated} strips or tiles are missing")
    empty = sum(count == 0 for count in page.databytecounts)
    # GDAL leaves out what is all no-data; else a writer was cut off
    if empty and _NO_DATA not in page.tags:
        raise ValueError(f"{empty} of its {listed} strips or tiles are missing")
    return np.asarray(page.asarray(maxworkers=1))


def _refuse_size(shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MOST_VALUES:  # memory is filled for what is stated and missing, too
        raise too_large(MOST_VALUES, "values", " x ".join(map(str, shape)))


def _values(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} values"


def _channels_last(page: tifffile.TiffPage, array: np.ndarray) -> np.ndarray:
    if page.axes not in {"YX", "YXS", "SYX"}:
        raise RefusalError(
            "an image must be (H, W) or (H, W, channels)",
            f"the axes {page.axes} of {_values(page.shape)}",
        )
    return np.moveaxis(array, 0, -1) if page.axes == "SYX" else array


def _stacked(opened: tifffile.TiffFile, count: int) -> np.ndarray:
    """Read several pages that the file declares to be the channels of one image."""
    series = opened.series[0]
    axes = str(series.axes)
    channels = next((axis for axis in "CS" if sorted(axes) == sorted(f"YX{axis}")), "")
    # (H, W, C)
    rows_of_pixels = (
        series.kind == "shaped" and len(axes) == 3 and series.shape[2] < min(series.shape[:2])
    )
    if len(opened.series) > 1 or not (channels or rows_of_pixels):
        raise RefusalError(f"{ONE_IMAGE}; {NO_VOLUMES}", f"a TIFF of {count} pages")
    _refuse_size(series.shape)
    array = np.asarray(series.asarray(maxworkers=1))
    return np.moveaxis(array, axes.index(channels), -1) if channels else array


def _palette(page: tifffile.TiffPage) -> np.ndarray | None:
    """Return its colours: 8 bit where they are, however the file widens them to the 16 bit of the
    tag.
    """
    if page.photometric != PHOTOMETRIC.PALETTE:
        return None
    colours = np.asarray(page.colormap, np.uint16).T
    high = colours >> 8
    if (colours == high * 257).all() or not (colours & 255).any():
        return high.astype(np.uint8)
    return colours.astype(np.uint8) if colours.max() < 256 else colours


def _tags(page: tifffile.TiffPage, has_validity: bool) -> Tags:
    orientation = page.tags.valueof("Orientation", 1)
    return Tags(orientation if orientation in range(1, 9) else 1, _no_data(page), has_validity)


def _no_data(page: tifffile.TiffPage) -> float | None:
    try:
        return float(str(page.tags.valueof(_NO_DATA, "")).strip("\0 "))
    except ValueError:
        return None
