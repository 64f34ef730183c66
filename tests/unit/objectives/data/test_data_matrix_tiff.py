"""Every listed TIFF is read exactly as it was written, or refused in one line that says why: there
is no third outcome.
"""

import io
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from objectives.data.reading.decode import decode_mask, read_label_image, read_picture
from tests.support.raster_bytes import (
    BLACK_IS_ZERO,
    CMYK,
    COMPLEX,
    CONTIGUOUS,
    DEFLATE,
    FLOAT,
    LAB,
    LZW,
    NONE,
    PACKBITS,
    PALETTE,
    RGB,
    SEPARATE,
    SHORT,
    SIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    as_shown,
    tiff_bytes,
)
from tests.support.raster_cells import (
    COLOUR,
    GREY,
    ORIENTATIONS,
    SMOOTH,
    as_image,
    assert_equal,
    assert_refused,
    numbers,
    read,
    saved,
    written,
)

COMPRESSIONS = [NONE, LZW, DEFLATE, PACKBITS]
UNSPECIFIED, PREMULTIPLIED, ALPHA = 0, 1, 2  # ExtraSamples
CHANNELS = {
    "grey": (BLACK_IS_ZERO, 1, ()),
    "grey and alpha": (BLACK_IS_ZERO, 2, (ALPHA,)),
    "rgb": (RGB, 3, ()),
    "rgb and infrared": (RGB, 4, (UNSPECIFIED,)),
    "rgb and alpha": (RGB, 4, (ALPHA,)),
    "rgb and premultiplied alpha": (RGB, 4, (PREMULTIPLIED,)),
    "five bands": (BLACK_IS_ZERO, 5, (UNSPECIFIED,) * 4),
    "inks": (CMYK, 4, ()),
}


@pytest.mark.parametrize("planar", [CONTIGUOUS, SEPARATE])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", CHANNELS)
def test_tiff_channels_and_depths(
    place: Path, channels: str, bits: int, compression: int, planar: int
) -> None:
    photometric, count, extra = CHANNELS[channels]
    stored = numbers(count, bits)
    content = tiff_bytes(
        stored, photometric, bits=bits, compression=compression, planar=planar, extra=extra
    )
    assert_equal(read(place, content), as_image(stored, bits))


@pytest.mark.parametrize(("order", "big"), [*product("<>", [False, True])])
@pytest.mark.parametrize("layout", ["strip", "strips", "tiles"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("compression", "predictor"), [(NONE, 1), (LZW, 1), (LZW, 2), (DEFLATE, 2)]
)
@pytest.mark.parametrize("planar", [CONTIGUOUS, SEPARATE])
def test_tiff_layouts(
    place: Path,
    planar: int,
    compression: int,
    predictor: int,
    bits: int,
    layout: str,
    order: str,
    big: bool,
) -> None:
    stored = numbers(3, bits)
    how: dict[str, Any] = {
        "planar": planar,
        "compression": compression,
        "predictor": predictor,
        "layout": layout,
    }
    content = tiff_bytes(stored, RGB, bits=bits, order=order, big=big, **how)
    assert_equal(read(place, content), stored)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_tiff_bits_from_the_low_end(place: Path, bits: int) -> None:
    stored = numbers(1, bits)
    order = ">" if bits == 16 else "<"
    content = tiff_bytes(stored, BLACK_IS_ZERO, bits=bits, fill_order=2, order=order)
    assert_equal(read(place, content), as_image(stored, bits))


@pytest.mark.parametrize("compression", ["zstd", "lzma", "png", "jpeg2000", "jpegxl", "lerc"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("count", [1, 3])
def test_tiff_further_lossless_compressions(
    place: Path, count: int, bits: int, compression: str
) -> None:
    stored = numbers(count, bits)
    options: dict[str, Any] = (
        {"photometric": "rgb"} if count == 3 else {"photometric": "minisblack"}
    )
    if compression == "jpeg2000":
        options["compressionargs"] = {"reversible": True}
    content = written(stored if count == 3 else stored[..., 0], compression=compression, **options)
    assert_equal(read(place, content), stored)


@pytest.mark.parametrize("kind", ["group3", "group4", "tiff_ccitt"])
def test_tiff_fax(place: Path, kind: str) -> None:
    white = numbers(1, 1)[..., 0].astype(bool)
    content = saved(Image.fromarray(white), "TIFF", compression=kind)
    assert_equal(read(place, content), white[..., None] * np.uint8(255))
    assert_equal(read(place, content, decode_mask), white.astype(np.uint8))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_tiff_with_white_as_zero(place: Path, bits: int) -> None:
    stored = numbers(1, bits)
    seen = (2**bits - 1 - stored.astype(int)).astype(stored.dtype)
    content = tiff_bytes(stored, WHITE_IS_ZERO, bits=bits)
    assert_equal(read(place, content), as_image(seen, bits))
    if bits == 1:
        assert_equal(read(place, content, decode_mask), seen[..., 0])
    else:
        assert_refused(place, content, "count from black", decode_mask)


@pytest.mark.parametrize("widened", [256, 257, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tiff_palettes(place: Path, compression: int, bits: int, widened: int) -> None:
    """The tag has 16 bits a colour, which writers fill in three ways."""
    stored = numbers(1, bits)
    colours = np.random.default_rng(1).integers(1, 256, (2**bits, 3)).astype(np.uint8)
    tags = ((320, SHORT, (colours.astype(int) * widened).T.ravel().tolist()),)
    content = tiff_bytes(stored, PALETTE, bits=bits, compression=compression, tags=tags)
    assert_equal(read(place, content), colours[stored[..., 0]])
    assert_equal(read(place, content, decode_mask), stored[..., 0])
    held = read_label_image(place / "a", "a").colours
    assert held == {label: tuple(colours[label].tolist()) for label in np.unique(stored).tolist()}


def test_tiff_palette_of_16_bit_keeps_them(place: Path) -> None:
    stored = numbers(1, 4)
    colours = np.random.default_rng(1).integers(0, 65536, (16, 3)).astype(np.uint16)
    content = tiff_bytes(stored, PALETTE, bits=4, tags=((320, SHORT, colours.T.ravel().tolist()),))
    assert_equal(read(place, content), colours[stored[..., 0]])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["strip", "tiles"])
def test_tiff_orientations(place: Path, layout: str, channels: int, orientation: int) -> None:
    stored = numbers(channels, 8)
    photometric = RGB if channels == 3 else BLACK_IS_ZERO
    content = tiff_bytes(stored, photometric, layout=layout, tags=((274, SHORT, [orientation]),))
    assert_equal(read(place, content), as_shown(stored, orientation))
    assert read_picture(place / "a", "a").tags.orientation == orientation
    if channels == 1:
        assert_equal(read(place, content, decode_mask), as_shown(stored[..., 0], orientation))


NUMBERS = {
    "int8": (SIGNED, np.int8),
    "int16": (SIGNED, np.int16),
    "int32": (SIGNED, np.int32),
    "uint32": (1, np.uint32),
    "uint64": (1, np.uint64),
    "float16": (FLOAT, np.float16),
    "float32": (FLOAT, np.float32),
    "float64": (FLOAT, np.float64),
    "complex64": (COMPLEX, np.complex64),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("name", NUMBERS)
def test_tiff_numbers_that_are_no_pixels(place: Path, name: str, compression: int) -> None:
    """Refused as images; whole numbers, of floats too, are labels in masks."""
    sample_format, kind = NUMBERS[name]
    stored = (numbers(1, 7) % 100).astype(kind)
    bits = stored.dtype.itemsize * 8
    content = tiff_bytes(
        stored, BLACK_IS_ZERO, bits=bits, sample_format=sample_format, compression=compression
    )
    assert_refused(
        place,
        content,
        f"8 or 16 bit without sign, or `range:` of data.yaml must state theirs, got {name}",
    )
    if "complex" not in name:
        assert_equal(read(place, content, decode_mask), stored[..., 0].astype(np.uint8))
    else:
        assert_refused(place, content, f"whole numbers in 0..65535, got {name}", decode_mask)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("layout", ["strip", "tiles"])
def test_tiff_masks(place: Path, layout: str, bits: int, compression: int) -> None:
    stored = numbers(1, bits)
    content = tiff_bytes(stored, BLACK_IS_ZERO, bits=bits, compression=compression, layout=layout)
    assert_equal(read(place, content, decode_mask), stored[..., 0])


TWO_PAGES = "must hold one image; volumes (3D) are not read"
NO_COLOURS = "must be grey, RGB, CMYK or have a palette"
REFUSED_TIFFS: dict[str, tuple[Callable[[], bytes], str]] = {
    "two pages": (
        lambda: written(np.stack([GREY[..., 0]] * 2), photometric="minisblack"),
        TWO_PAGES,
    ),
    "pages of two sizes": (lambda: pages(GREY[..., 0], GREY[:3, :, 0]), TWO_PAGES),
    "seven frames in time": (
        lambda: written(np.stack([GREY[..., 0]] * 7), imagej=True, metadata={"axes": "TYX"}),
        "got a TIFF of 7 pages",
    ),
    "previews only": (lambda: written(GREY[..., 0], subfiletype=1), "previews only"),
    "a volume": (
        lambda: written(np.stack([GREY[..., 0]] * 16), volumetric=True, tile=(16, 16, 16)),
        "axes ZYX",
    ),
    "cie lab": (lambda: tiff_bytes(COLOUR, LAB), NO_COLOURS),
    "icc lab": (lambda: tiff_bytes(COLOUR, 9), NO_COLOURS),
    "log luv": (lambda: tiff_bytes(COLOUR, 32845), NO_COLOURS),
    "a camera's mosaic": (lambda: tiff_bytes(GREY, 32803), NO_COLOURS),
    "ycbcr as such": (lambda: tiff_bytes(COLOUR, YCBCR), NO_COLOURS),
    "an unknown photometric": (lambda: tiff_bytes(COLOUR, 4711), NO_COLOURS),
    "a palette that is missing": (lambda: tiff_bytes(GREY, PALETTE), "with a palette"),
    "three bits": (
        lambda: tiff_bytes(numbers(1, 3), BLACK_IS_ZERO, bits=3),
        "1, 2, 4 or 8 to 16 bits",
    ),
    "an unknown compression": (
        lambda: tiff_bytes(GREY, BLACK_IS_ZERO, compression=4711),
        "readable image",
    ),
    "directories in a circle": (
        lambda: b"II*\0\x08\0\0\0\x01\0" + b"\xff" * 12 + b"\x08\0\0\0",
        "form a circle",
    ),
    "pages in a circle": (lambda: in_a_circle(tiff_bytes(GREY, BLACK_IS_ZERO)), "form a circle"),
    "millions of strips of which there are three": (
        lambda: stating_rows(2**23),
        "8388605 of its 8388608 strips",
    ),
    "no columns": (lambda: tiff_bytes(GREY[:, :0], BLACK_IS_ZERO, coded=bytes(35)), "(H, W)"),
    "strips that are missing": (
        lambda: tiff_bytes(GREY, BLACK_IS_ZERO).replace(b"\x23\0\0\0", bytes(4)),
        "are missing",
    ),
}


@pytest.mark.parametrize("name", REFUSED_TIFFS)
def test_tiffs_that_are_refused(place: Path, name: str) -> None:
    make, reason = REFUSED_TIFFS[name]
    assert_refused(place, make(), reason)


PAGES_OF_ONE_IMAGE: dict[str, Callable[[], bytes]] = {
    "one page": lambda: pages(COLOUR),
    "a preview behind it": lambda: pages(COLOUR, COLOUR[::2, ::2], subfiletype=1),
    "previews below it": lambda: below(COLOUR, COLOUR[::2, ::2]),
    "channels as pages, so named": lambda: written(
        np.moveaxis(COLOUR, 2, 0), photometric="minisblack", metadata={"axes": "CYX"}
    ),
    "channels as pages, ImageJ": lambda: written(
        np.moveaxis(COLOUR, 2, 0), imagej=True, metadata={"axes": "CYX"}
    ),
    "rows as pages, so stated": lambda: written(COLOUR, photometric="minisblack"),
}


@pytest.mark.parametrize("name", PAGES_OF_ONE_IMAGE)
def test_tiff_pages_of_one_image(place: Path, name: str) -> None:
    assert_equal(read(place, PAGES_OF_ONE_IMAGE[name]()), COLOUR)


@pytest.mark.parametrize(("photometric", "kept"), [(RGB, "RGB"), (YCBCR, "YCBCR")])
def test_tiff_photographs(place: Path, photometric: int, kept: str) -> None:
    """Nearly, and as RGB whatever the codec keeps."""
    coded = imagecodecs.jpeg_encode(
        SMOOTH, level=100, colorspace="RGB", outcolorspace=kept, subsampling="444"
    )
    content = tiff_bytes(SMOOTH, photometric, compression=7, coded=coded)
    assert np.abs(read(place, content).astype(int) - SMOOTH).max() <= 6


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0.0), ("255", 255.0), ("-9999.0", -9999.0), ("", None), ("none", None)],
)
def test_tiff_no_data(place: Path, text: str, value: float | None) -> None:
    content = tiff_bytes(GREY, BLACK_IS_ZERO, tags=((42113, 2, [*text.encode(), 0]),))
    assert_equal(read(place, content), GREY)
    assert read_picture(place / "a", "a").tags.no_data == value


def pages(first: np.ndarray, *others: np.ndarray, subfiletype: int = 0) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as opened:
        opened.write(first, metadata=None)
        for other in others:
            opened.write(other, metadata=None, subfiletype=subfiletype)
    return stream.getvalue()


def below(first: np.ndarray, preview: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as opened:
        opened.write(first, subifds=1, metadata=None)
        opened.write(preview, subfiletype=1, metadata=None)
    return stream.getvalue()


def in_a_circle(content: bytes) -> bytes:
    """The same with its one directory as the next one, too."""
    place = int.from_bytes(content[4:8], "little")
    end = place + 2 + 12 * int.from_bytes(content[place : place + 2], "little")
    return content[:end] + content[4:8] + content[end + 4 :]


def stating_rows(rows: int) -> bytes:
    """A TIFF of three strips that states so many strips of one row."""
    content = tiff_bytes(GREY, BLACK_IS_ZERO, compression=LZW, layout="strips")
    for tag, value in ((257, rows), (278, 1)):  # ImageLength, RowsPerStrip
        entry = tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0"
        place = content.index(entry) + len(entry)
        content = content[:place] + value.to_bytes(4, "little") + content[place + 4 :]
    return content
