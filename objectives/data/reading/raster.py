"""One image file as it is stored: pixels, what the file says about them, and the refusal of what
has no plain meaning.
"""

from dataclasses import dataclass

import numpy as np

# beyond them Pillow takes a file for a bomb, and so do we where others decode
MOST_PIXELS = 178_956_970
MOST_VALUES = 4 * MOST_PIXELS  # with their channels
ONE_IMAGE = "a file must hold one image"


class RefusalError(ValueError):
    """A file that is whole and yet not read: the rule that it breaks, and the value that
    breaks it.
    """

    def __init__(self, rule: str, value: str) -> None:
        self.rule = rule
        self.value = value
        super().__init__(f"{rule}, got {value}")


def too_large(most: int, unit: str, stated: str) -> RefusalError:
    """Return the refusal of an image that states more pixels or values than are read at once."""
    return RefusalError(
        f"too large: cut it into tiles of at most {most:,} {unit}", f"{stated} {unit}"
    )


@dataclass(frozen=True)
class Tags:
    """What a file says about its pixels."""

    # 1..8 as in EXIF and TIFF: how the stored rows are to be shown; pixels are turned accordingly
    orientation: int = 1
    # the value of pixels that were not measured (TIFF tag 42113, which GDAL writes)
    no_data: float | None = None
    transparent: bool = False  # some pixel is not opaque, and the pixels do not tell
    kept: int = 1  # such an orientation that the user wants left aside: pixels are not turned


@dataclass(frozen=True)
class Raster:
    """A decoded file before its numbers are given a meaning."""

    pixels: np.ndarray  # (H, W) or (H, W, C) as stored; where there is a palette, indices into it
    form: str  # as people call it, with an article and the compression where that matters
    bits: int  # of a stored sample
    palette: np.ndarray | None = None  # (N, 3) red, green, blue
    white_is_zero: bool = False
    lossless: bool = True  # whether colours come back as they were given to the writer
    renumbered: bool = False  # whether the writer may have given its palette another order
    tags: Tags = Tags()


def form_of(head: bytes) -> str:
    """Return what a file is by its first 12 bytes, whatever its name says; empty for anything but
    the forms that are read.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPG"
    if head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return "TIFF"
    if head.startswith(b"BM"):
        return "BMP"
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return "GIF"
    return "WebP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return the stored rows as they are to be shown; what is none of 1..8 says nothing."""
    match orientation:
        case 2:
            return array[:, ::-1]
        case 3:
            return array[::-1, ::-1]
        case 4:
            return array[::-1]
        case 5:
            return array.swapaxes(0, 1)
        case 6:
            return array[::-1].swapaxes(0, 1)
        case 7:
            return array[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return array[:, ::-1].swapaxes(0, 1)
        case _:
            return array
