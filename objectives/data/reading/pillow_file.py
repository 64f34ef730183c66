"""PNG, JPG, BMP, GIF and WebP files as rasters: by Pillow, but for the deep PNGs that it would cut
to 8 bit.
"""

import io
import re
import struct
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from objectives.data.reading.raster import (
    MOST_PIXELS,
    ONE_IMAGE,
    Raster,
    RefusalError,
    Tags,
    too_large,
)

_PILLOW_NAMES = {"PNG": "PNG", "JPG": "JPEG", "BMP": "BMP", "GIF": "GIF", "WebP": "WEBP"}
_PNG_GREY = 0  # colour type of the PNG specification
_ORIENTATION = 0x0112  # EXIF tag


def read_with_pillow(data: bytes, form: str) -> Raster:
    """Return the one image of a file of this form.

    Raises:
        RefusalError: It holds several images, or pixels of a kind that is not read.
        Exception: It is damaged; what decoders raise on foreign bytes is open-ended.
    """
    with _opened(data, form) as stored:
        count = getattr(stored, "n_frames", 1)
        # the further pictures in a JPG are its previews and depth maps
        if count > 1 and form != "JPG":
            raise RefusalError(ONE_IMAGE, f"an animated {form} of {count} frames")
        orientation = stored.getexif().get(_ORIENTATION, 1)
        bits = data[24] if form == "PNG" else 8
        if bits == 16 and data[25] != _PNG_GREY:
            pixels, transparent = _deep_png(data)
        else:
            stored.load()
            pixels, transparent = _pixels(stored, bits)
        return Raster(
            pixels,
            f"a {form}",
            1 if stored.mode == "1" else bits,
            _palette(stored),
            lossless=form in ("PNG", "BMP", "GIF") or (form == "WebP" and not _is_lossy_webp(data)),
            renumbered=form == "GIF",
            tags=Tags(orientation, None, transparent),
        )


def _opened(data: bytes, form: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=[_PILLOW_NAMES[form]])
    except Image.DecompressionBombError as error:  # it says how many pixels, and no more
        raise too_large(
            MOST_PIXELS, "pixels", (re.findall(r"[0-9]+", str(error)) or ["more"])[0]
        ) from error
    except UnidentifiedImageError as error:
        bits = _jpg_bits(data) if form == "JPG" else 8
        if bits != 8:
            raise RefusalError("a JPG must have 8 bits a sample", f"{bits}") from error
        raise ValueError(f"a damaged {form}, or one of a kind that is not read") from error


def _pixels(stored: Image.Image, bits: int) -> tuple[np.ndarray, bool]:
    """Return what is stored but for the opacity, and whether that hides something."""
    array = np.array(stored)
    match stored.mode:
        case "1" | "L" | "I;16" | "RGB":
            if stored.mode == "L" and bits in (2, 4):
                # Pillow stretches 2 and 4 bit greys to 0..255
                array = array // (255 // (2**bits - 1))
            return array, _is_hidden(array, stored.info.get("transparency"))
        case "P":  # its indices mean the same, whatever of the palette is transparent
            return array, False
        case "LA" | "RGBA":
            return array[:, :, 0] if stored.mode == "LA" else array[:, :, :3], _least(stored) < 255
        case "CMYK":
            return np.array(stored.convert("RGB")), False
        case mode:
            raise RefusalError(
                "pixels must be grey, RGB, CMYK or a palette's", f"Pillow's mode {mode}"
            )


def _is_hidden(array: np.ndarray, transparent: Any) -> bool:
    """Return whether a pixel has the one colour that a file declares to be transparent."""
    if not isinstance(transparent, int | tuple):
        return False
    stored = array * 255 if array.dtype == np.bool_ else array  # as Pillow gives the colour
    alike = stored == np.array(transparent)
    return bool((alike.all(axis=2) if array.ndim == 3 else alike).any())


def _least(stored: Image.Image) -> float:
    lowest: Any = stored.getchannel("A").getextrema()[0]
    return float(lowest)


def _palette(stored: Image.Image) -> np.ndarray | None:
    if stored.mode != "P":
        return None
    given = np.array(stored.getpalette("RGB"), np.uint8).reshape(-1, 3)
    # an index beyond the palette is black, as Pillow shows it
    return np.pad(given, ((0, 256 - len(given)), (0, 0)))


def _deep_png(data: bytes) -> tuple[np.ndarray, bool]:
    width, height = struct.unpack(">II", data[16:24])
    if width * height > MOST_PIXELS:
        raise too_large(MOST_PIXELS, "pixels", f"{height} x {width}")
    if b"IEND" not in data:
        raise ValueError("the file is truncated")
    array = imagecodecs.png_decode(data)
    if array.ndim != 3 or array.shape[2] == 3:
        return array, False
    colour = array[:, :, 0] if array.shape[2] == 2 else array[:, :, :3]
    return colour, bool(array[:, :, -1].min() < 65535)


def _is_lossy_webp(data: bytes) -> bool:
    place = 12
    while place + 8 <= len(data):
        if data[place : place + 4] in {b"VP8 ", b"VP8L"}:
            return data[place : place + 4] == b"VP8 "
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return True


def _jpg_bits(data: bytes) -> int:
    """Of a sample, by the frame header; 8 where there is none."""
    place = 2
    while place + 5 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[place + 4]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 8
