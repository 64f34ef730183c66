"""PNG files as most are, in half of Pillow's time. What is out of the ordinary or damaged is left to
Pillow, and so is every message.
"""

import struct
import zlib
from collections.abc import Iterator

import imagecodecs

from objectives.data.reading.raster import MOST_PIXELS, Raster, Tags

_HEADER = 16  # where width, height, bits and colour type stand
_GREY, _RGB, _RGB_ALPHA = 0, 2, 6  # colour types
_ESSENTIAL = {b"IHDR", b"IDAT", b"IEND"}
# chunks that say nothing of what pixels mean, and how long they are
_NEUTRAL = {b"pHYs": 9, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"tIME": 7}
# texts under the specification's keywords; writers hide EXIF under others
_TEXTS = {
    *(b"Title", b"Author", b"Description", b"Copyright", b"Creation Time"),
    *(b"Software", b"Disclaimer", b"Warning", b"Source", b"Comment"),
}
_LONGEST_TEXT = 2**16  # bytes


def read_plain_png(data: bytes) -> Raster | None:
    """Return what Pillow makes of a whole PNG of grey or RGB of 8 bits, opacity or not, that says
    nothing more of its pixels: no palette, no passes, no transparent colour, no EXIF, no further
    pictures. None of any other.

    Source: PNG Specification, Third Edition (W3C 2025), 11.
    """
    if not _says_nothing_more(data):
        return None
    width, height, bits, colours, *_, passes = struct.unpack_from(">IIBBBBB", data, _HEADER)
    if bits != 8 or colours not in (_GREY, _RGB, _RGB_ALPHA) or passes:
        return None
    if width * height > MOST_PIXELS:
        return None
    try:
        stored = imagecodecs.spng_decode(data)
    except imagecodecs.SpngError:
        return None
    if colours != _RGB_ALPHA:
        return Raster(stored, "a PNG", bits)
    hides = bool(stored[:, :, 3].min() < 255)
    return Raster(stored[:, :, :3], "a PNG", bits, tags=Tags(transparent=hides))


def _says_nothing_more(data: bytes) -> bool:
    """Return whether a file is whole, and has no chunks but those of pixels and neutral ones."""
    kind = b""
    for kind, body, checksum in _chunks(data):
        if kind not in _ESSENTIAL and not _is_neutral(kind, bytes(body), bytes(checksum)):
            return False
    return kind == b"IEND"


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield kind, body and checksum of each whole chunk, up to the end of the image."""
    place, kind = 8, b""  # behind the signature
    while kind != b"IEND" and place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            return
        yield kind, memoryview(data)[place + 8 : end - 4], memoryview(data)[end - 4 : end]
        place = end


def _is_neutral(kind: bytes, body: bytes, checksum: bytes) -> bool:
    known = len(body) == _NEUTRAL.get(kind) or (
        kind == b"tEXt" and len(body) <= _LONGEST_TEXT and body.split(b"\0")[0] in _TEXTS
    )
    return known and zlib.crc32(kind + body).to_bytes(4, "big") == checksum
