"""What a folder of frames may hold: image files of every kind, some lying about their size, and odd
words for its two texts.
"""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import tifffile
from PIL import Image

FRAMES, HEIGHT, WIDTH = 12, 8, 12
GENERATOR = np.random.default_rng(0)


def encoded(array: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """An image file of an array."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, form, **options)
    return stream.getvalue()


def converted(mode: str, form: str) -> bytes:
    """A file of another kind of pixels."""
    stream = io.BytesIO()
    Image.fromarray(GREY).convert(mode).save(stream, form)
    return stream.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    """A TIFF of any array, as scientific programs write them."""
    stream = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def animated(form: str) -> bytes:
    """A file of three frames."""
    frames = [Image.fromarray(COLOUR // part) for part in (1, 2, 3)]
    stream = io.BytesIO()
    frames[0].save(stream, form, save_all=True, append_images=frames[1:])
    return stream.getvalue()


def png_stating(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of so many pixels, of which there is one row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(64))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_stating(width: int, height: int, samples: int = 1) -> bytes:
    """A TIFF of so many pixels, of which there is one strip."""
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 200),
        (277, 3, samples),
    ]
    tags += [(278, 4, height), (279, 4, 64)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)).ljust(
        200, b"\0"
    ) + bytes(64)


def jpeg_stating(side: int) -> bytes:
    """A JPEG of so many pixels a side, of which there are few."""
    content = bytearray(encoded(GREY, "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(content)


GREY = GENERATOR.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
COLOUR = GENERATOR.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
EXIF = Image.Exif()
EXIF[0x0112] = 6  # to be shown turned right by 90 degrees
IMAGES = [GENERATOR.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(FRAMES)]
MASKS = [GENERATOR.integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(FRAMES)]
ODD_FILES = [
    *(
        encoded(COLOUR),
        encoded(COLOUR, "JPEG"),
        encoded(GREY, "JPEG"),
        encoded(GREY.astype(np.uint16) * 257),
        encoded(GREY > 99),
    ),
    *(converted(mode, "PNG") for mode in ("P", "1", "LA", "RGBA")),
    *(converted(mode, "JPEG") for mode in ("CMYK", "YCbCr")),
    *(converted(mode, "TIFF") for mode in ("F", "CMYK", "LAB", "I", "1")),
    *(
        tiff(GREY),
        tiff(COLOUR),
        tiff(GREY.astype(np.float64)),
        tiff(GREY.astype(np.uint16)),
        tiff(GREY[None].repeat(7, axis=0)),
    ),
    *(
        tiff(GREY, compression="zlib"),
        tiff(GREY.astype(np.int8)),
        tiff(np.zeros((2, 3, 4, 5, 6), np.uint8)),
        tiff(GREY > 9),
    ),
    *(
        tiff(COLOUR, planarconfig="separate"),
        tiff(GREY.astype(np.complex64)),
        tiff(np.zeros((1, 1), np.uint8)),
    ),
    *(
        png_stating(2**31 - 1, 2**31 - 1),
        png_stating(200_000, 200_000, 16, 2),
        png_stating(2**20, 2**12, 16, 6),
        png_stating(0, 0),
    ),
    *(
        png_stating(4, 4, 3, 9),
        png_stating(12, 8, 16, 4),
        png_stating(12, 8, 2, 0),
        png_stating(12, 8, 8, 3),
    ),
    *(
        tiff_stating(2**32 - 1, 2**32 - 1),
        tiff_stating(100_000, 100_000, 4),
        tiff_stating(0, 0),
        tiff_stating(12, 8, 65535),
    ),
    *(
        jpeg_stating(65535),
        jpeg_stating(0),
        b"",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0",
        b"BM" + bytes(60),
        b"%PDF-1.7\n",
    ),
    *(
        b"II*\0\x08\0\0\0\x01\0" + b"\xff" * 12 + b"\x08\0\0\0",
        b"\x00\x00\x00\x0cjP  \r\n\x87\n",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    ),
    *(
        encoded(COLOUR, "WEBP"),
        encoded(GREY, "WEBP", lossless=True),
        encoded(GREY, "BMP"),
        encoded(COLOUR, "BMP"),
    ),
    *(
        encoded(GREY, "GIF"),
        animated("GIF"),
        animated("PNG"),
        animated("WEBP"),
        encoded(COLOUR, "JPEG", exif=EXIF),
    ),
    *(
        encoded(GREY, "TIFF", compression=kind)
        for kind in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "zstd")
    ),
    *(
        tiff(GREY, bigtiff=True, byteorder=">"),
        tiff(GREY, tile=(16, 16), compression="zstd"),
        tiff(GREY, photometric="palette", colormap=np.arange(768, dtype=np.uint16).reshape(3, 256)),
        tiff(
            GREY,
            photometric="miniswhite",
            extratags=[(274, 3, 1, 6, True), (42113, 2, 2, "0", True)],
        ),
        tiff(GREY, subfiletype=1),
    ),
]
ROWS = "".join(f"f{n:02d}.png,place_{n // 2}\n" for n in range(FRAMES))
GROUPS = [
    f"file,group\n{ROWS}",
    "group,file\n" + "".join(f"{n // 2},images/f{n:02d}\n" for n in range(FRAMES)),
]
GROUP_PARTS = [
    '"',
    '""',
    "\0",
    ",",
    ";",
    "\r",
    "\n\n",
    "file,group",
    "file",
    "\ufeff",
    "../f00.png,x\n",
    "f00.png,y\n",
    "x" * 200_000,
    "'",
]
CLASSES = [
    "ignore: 0\nclasses: {0: void, 1: soil, 2: rock}\n",
    "ignore: 255\nclasses: {0: soil, 1: rock, 2: sand}\ncolours: {0: [1, 2, 3]}\n",
    "classes:\n  0: void\n  1: 'no'\n  2: rock\n",
    "ignore: 9\nclasses: {0: soil, 1: rock}\nvalues: {0: 0, '1-2': 1, 200: 9}\n",
    "classes: {0: soil, 1: rock}\nvalues: {'0,0,0': 0, '1, 1, 1': 1, '2,2,2': 1}\n",
]
CLASS_PARTS = [
    *(
        "*a",
        "&a ",
        "<<: *a\n",
        "&a [*a]",
        "!!python/object/apply:os.system ['id']\n",
        "!!binary x",
        "!!timestamp x",
        "2020-99-99",
    ),
    *(
        "0x" + "f" * 9000,
        "1" * 5000,
        "0b2",
        "1:99:99",
        ".nan",
        "- ",
        "[" * 2000,
        "{0: " * 900,
        "? [1]\n",
        '"\\ud800"',
        '"\\0"',
        "\t",
    ),
    *(
        "0: again\n",
        "ignore: [0]\n",
        "ignore: -1\n",
        "colours: {0: red}\n",
        "colours: [1]\n",
        "values: {300: 1}\n",
        "values: {'1-9': 0, 5: 1}\n",
        "'1,2,3': 0, ",
        "classes: []\n",
        "no",
        "~",
        "---\n",
        "!!set",
    ),
    *(
        "a: &a [x]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n",
        "999999: lava, ",
        "1e3: x\n",
        "true: x\n",
        "null: x\n",
        "\x07",
    ),
]
CLASS_TREES = [
    {
        "ignore": 0,
        "classes": {0: "void", 1: "soil", 2: "rock"},
        "colours": {0: [0, 0, 0], 1: [255, 0, 1]},
    },
    {"ignore": 255, "classes": dict(enumerate(f"class {n}" for n in range(40)))},
]
