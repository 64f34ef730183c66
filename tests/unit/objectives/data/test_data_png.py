"""PNG files that are read without Pillow are what Pillow makes of them, value for value; what is damaged or out of the
ordinary is Pillow's.
"""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from objectives.data.reading.pillow_file import read_with_pillow
from objectives.data.reading.png_file import read_plain_png
from objectives.data.reading.raster import Raster
from tests.support.raster_bytes import BEFORE_DATA, exif_bytes, png_bytes, png_chunk
from tests.support.raster_cells import numbers

CHANNELS = {0: 1, 2: 3, 6: 4}  # by colour type
NEUTRAL = {
    "gamma": png_chunk(b"gAMA", (100_000).to_bytes(4, "big")),
    "size": png_chunk(b"pHYs", struct.pack(">IIB", 3780, 3780, 1)),
    "colours": png_chunk(b"cHRM", bytes(range(32))) + png_chunk(b"sRGB", b"\1"),
    "time": png_chunk(b"tIME", bytes(7)),
    "text": png_chunk(b"tEXt", b"Software\0a program"),
}
TELLING = {
    "exif": png_chunk(b"eXIf", exif_bytes(6)),
    "hidden exif": png_chunk(b"tEXt", b"exif\0Exif\0\0" + exif_bytes(6)),
    "profile": png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n4\n00000000\n"),
    "transparent": png_chunk(b"tRNS", bytes(6)),
    "animation": png_chunk(b"acTL", struct.pack(">II", 2, 0)),
    "short": png_chunk(b"pHYs", b"\0"),
    "unknown": png_chunk(b"teSt", b"x"),
    "wrong checksum": NEUTRAL["gamma"][:-1] + b"\0",
}


def assert_alike(plain: Raster | None, content: bytes) -> None:
    assert plain is not None
    other = read_with_pillow(content, "PNG")
    assert plain.pixels.dtype == other.pixels.dtype
    np.testing.assert_array_equal(plain.pixels, other.pixels)
    for name in ("form", "bits", "palette", "white_is_zero", "lossless", "renumbered", "tags"):
        assert getattr(plain, name) == getattr(other, name), name


@pytest.mark.parametrize("colours", CHANNELS)
def test_it_is_what_pillow_reads(colours: int) -> None:
    stored = numbers(CHANNELS[colours], 8)
    content = png_bytes(stored, colours, 8)
    assert_alike(read_plain_png(content), content)
    stored[..., -1] = 255  # an opaque alpha hides nothing
    assert_alike(read_plain_png(png_bytes(stored, colours, 8)), png_bytes(stored, colours, 8))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (300, 1, 3), (257, 300, 4), (400, 333)])
def test_sizes_and_filters_of_a_writer(shape: tuple[int, ...]) -> None:
    """Pillow's writer chooses filters line by line, and cuts what is long into several chunks."""
    slopes = np.add.outer(np.arange(shape[0]) * 2, np.arange(shape[1]))
    noise = np.random.default_rng(0).integers(0, 9, shape)
    pixels = (slopes.reshape(slopes.shape + (1,) * (len(shape) - 2)) + noise).astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    content = written.getvalue()
    assert_alike(read_plain_png(content), content)
    assert len(content) < 2**16 or content.count(b"IDAT") > 1


@pytest.mark.parametrize("name", NEUTRAL)
def test_what_says_nothing_of_pixels_changes_nothing(name: str) -> None:
    stored = numbers(3, 8)
    content = png_bytes(stored, 2, 8, chunks=NEUTRAL[name])
    plain = read_plain_png(content)
    assert_alike(plain, content)
    assert plain is not None
    np.testing.assert_array_equal(plain.pixels, stored)
    behind = png_bytes(stored, 2, 8)[:-12] + NEUTRAL[name] + png_chunk(b"IEND", b"")
    assert_alike(read_plain_png(behind), behind)


@pytest.mark.parametrize("name", TELLING)
def test_what_says_more_is_left_to_pillow(name: str) -> None:
    assert read_plain_png(png_bytes(numbers(3, 8), 2, 8, chunks=TELLING[name])) is None


@pytest.mark.parametrize(
    ("channels", "colours", "bits"),
    [(1, 0, 1), (1, 0, 2), (1, 0, 4), (1, 0, 16), (3, 2, 16), (4, 6, 16), (2, 4, 8), (2, 4, 16)],
)
def test_other_depths_and_channels_are_left_to_pillow(
    channels: int, colours: int, bits: int
) -> None:
    assert read_plain_png(png_bytes(numbers(channels, bits), colours, bits)) is None


def test_palettes_and_passes_are_left_to_pillow() -> None:
    palette = png_chunk(b"PLTE", bytes(range(256)) * 3)
    assert read_plain_png(png_bytes(numbers(1, 8), 3, 8, chunks=palette)) is None
    assert read_plain_png(png_bytes(numbers(3, 8), 2, 8, interlaced=True)) is None


def test_what_is_too_large_is_left_to_pillow() -> None:
    content = bytearray(png_bytes(numbers(1, 8), 0, 8))
    content[16:24] = struct.pack(">II", 20_000, 20_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    assert read_plain_png(bytes(content)) is None


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Of a PNG with chunks of every kind: bytes changed, cut out or doubled, checksums often mended."""
    colours = draw(st.sampled_from([*CHANNELS]))
    chunks = b"".join(draw(st.lists(st.sampled_from([*NEUTRAL.values()]), max_size=2)))
    content = bytearray(png_bytes(numbers(CHANNELS[colours], 8), colours, 8, chunks=chunks))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(8, len(content) - 1))
        match draw(st.sampled_from(["change", "cut", "double", "end"])):
            case "change":
                content[place] ^= draw(st.integers(1, 255))
            case "cut":
                del content[place : place + draw(st.integers(1, 30))]
            case "double":
                content[place:place] = content[place : place + draw(st.integers(1, 60))]
            case _:
                del content[place:]
        assume(len(content) > 8)
    return mended(bytes(content)) if draw(st.booleans()) else bytes(content)


def mended(content: bytes) -> bytes:
    """The chunks that can be told, with right checksums."""
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        parts.append(png_chunk(kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return b"".join(parts)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(damaged())
def test_what_is_damaged_is_never_read_otherwise(content: bytes) -> None:
    if (plain := read_plain_png(content)) is not None:
        assert_alike(plain, content)


def test_pixels_that_end_and_begin_again_are_left_to_pillow() -> None:
    content = png_bytes(numbers(3, 8), 2, 8)
    body = content[BEFORE_DATA + 8 : -16]
    halves = [png_chunk(b"IDAT", part) for part in (body[:20], body[20:])]
    torn = content[:BEFORE_DATA] + NEUTRAL["time"].join(halves) + png_chunk(b"IEND", b"")
    assert read_plain_png(torn) is None
    joined = content[:BEFORE_DATA] + b"".join(halves) + png_chunk(b"IEND", b"")
    assert_alike(read_plain_png(joined), joined)


def test_a_damaged_file_costs_no_reference() -> None:
    """libpng's binding drops one to None for each: after thousands, Python would end."""
    content = bytearray(png_bytes(numbers(3, 8), 2, 8))
    content[60] ^= 255
    before = sys.getrefcount(None)
    for _ in range(300):
        assert read_plain_png(bytes(content)) is None
    assert sys.getrefcount(None) > before - 100
