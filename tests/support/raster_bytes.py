"""TIFF and PNG files byte by byte from their specifications, so that no reader is tested by its own
writer.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

UNSIGNED, SIGNED, FLOAT, COMPLEX = 1, 2, 3, 6  # SampleFormat
NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773  # Compression
# PhotometricInterpretation
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
CONTIGUOUS, SEPARATE = 1, 2  # PlanarConfiguration
TILE = 16
ASCII, SHORT, LONG = 2, 3, 4  # types of tags
SIZES = {ASCII: 1, SHORT: 2, LONG: 4}
Tag = tuple[int, int, list[int]]


def tiff_bytes(
    pixels_HWC: np.ndarray,
    photometric: int,
    *,
    bits: int = 8,
    sample_format: int = UNSIGNED,
    compression: int = NONE,
    predictor: int = 1,
    order: str = "<",
    planar: int = CONTIGUOUS,
    layout: str = "strip",
    fill_order: int = 1,
    big: bool = False,
    extra: tuple[int, ...] = (),
    tags: tuple[Tag, ...] = (),
    coded: bytes = b"",
) -> bytes:
    """A TIFF of one page; ``layout`` is one strip, strips of two rows, or tiles; ``extra`` says
    what further samples are.

    ``coded`` is the one strip where another codec made it.
    """
    height, width, samples = pixels_HWC.shape
    planes = [pixels_HWC] if planar == CONTIGUOUS else np.split(pixels_HWC, samples, axis=2)
    blocks = [
        _packed(block, bits, predictor, order)
        for plane in planes
        for block in _blocks(plane, layout)
    ]
    blocks = [coded] if coded else [_compressed(block, compression) for block in blocks]
    if fill_order == 2:
        blocks = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in block) for block in blocks]
    start = 16 if big else 8
    offsets = [start + sum(map(len, blocks[:index])) for index in range(len(blocks))]
    counts = [len(block) for block in blocks]
    entries: list[Tag] = [
        *(
            (256, LONG, [width]),
            (257, LONG, [height]),
            (258, SHORT, [bits] * samples),
            (259, SHORT, [compression]),
        ),
        *(
            (262, SHORT, [photometric]),
            (266, SHORT, [fill_order]),
            (277, SHORT, [samples]),
            (284, SHORT, [planar]),
        ),
        *((317, SHORT, [predictor]), (339, SHORT, [sample_format] * samples)),
    ]
    if layout == "tiles":
        entries += [
            (322, LONG, [TILE]),
            (323, LONG, [TILE]),
            (324, LONG, offsets),
            (325, LONG, counts),
        ]
    else:
        entries += [
            (273, LONG, offsets),
            (278, LONG, [2 if layout == "strips" else height]),
            (279, LONG, counts),
        ]
    if extra:
        entries.append((338, SHORT, list(extra)))
    return _file(b"".join(blocks), [*entries, *tags], order, big)


def _blocks(plane_HWC: np.ndarray, layout: str) -> Iterator[np.ndarray]:
    height, width, _ = plane_HWC.shape
    if layout == "tiles":
        padded = np.pad(plane_HWC, ((0, -height % TILE), (0, -width % TILE), (0, 0)))
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                yield padded[top : top + TILE, left : left + TILE]
    else:
        rows = 2 if layout == "strips" else height
        for top in range(0, height, rows):
            yield plane_HWC[top : top + rows]


def _packed(block_HWC: np.ndarray, bits: int, predictor: int, order: str) -> bytes:
    if predictor == 2:
        # wraps around, as it should
        block_HWC = np.diff(block_HWC, axis=1, prepend=np.zeros_like(block_HWC[:, :1]))
    if bits % 8 == 0:
        return block_HWC.astype(block_HWC.dtype.newbyteorder(order)).tobytes()
    rows = block_HWC.reshape(len(block_HWC), -1)
    texts = ("".join(f"{int(value):0{bits}b}" for value in row) for row in rows)
    return b"".join(_bytes_of_bits(text) for text in texts)


def _bytes_of_bits(text: str) -> bytes:
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _compressed(data: bytes, compression: int) -> bytes:
    match compression:
        case 5:  # codes of 9 bits alone: the table is cleared before they would grow
            codes = [
                code
                for place in range(0, len(data), 240)
                for code in (256, *data[place : place + 240])
            ]
            return _bytes_of_bits("".join(f"{code:09b}" for code in [*codes, 257]))
        case 8:
            return zlib.compress(data)
        case 32773:  # runs of up to 128 bytes as they are
            runs = [data[place : place + 128] for place in range(0, len(data), 128)]
            return b"".join(bytes([len(run) - 1]) + run for run in runs)
        case _:
            return data


def _file(body: bytes, entries: list[Tag], order: str, big: bool) -> bytes:
    count, offset = ("Q", "Q") if big else ("H", "I")
    room = 8 if big else 4
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    head += (
        struct.pack(f"{order}HHQ", 8, 0, 16 + len(body))
        if big
        else struct.pack(f"{order}I", 8 + len(body))
    )
    place = len(head) + len(body)
    directory = struct.pack(f"{order}{count}", len(entries))
    place += len(directory) + len(entries) * (20 if big else 12) + room
    tail = b""
    for tag, kind, values in sorted(entries):
        packed = b"".join(
            value.to_bytes(SIZES[kind], "little" if order == "<" else "big") for value in values
        )
        directory += struct.pack(f"{order}HH{offset}", tag, kind, len(values))
        if len(packed) > room:
            directory += struct.pack(f"{order}{offset}", place + len(tail))
            tail += packed
        else:
            directory += packed.ljust(room, b"\0")
    return head + body + directory + bytes(room) + tail


ADAM7 = [
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
]
BEFORE_DATA = 33  # bytes of a PNG's signature and header


def png_bytes(
    pixels_HWC: np.ndarray,
    colour_type: int,
    bits: int,
    *,
    interlaced: bool = False,
    chunks: bytes = b"",
) -> bytes:
    """A PNG; ``chunks`` stand between its header and its pixels."""
    height, width, _ = pixels_HWC.shape
    passes = (
        [pixels_HWC[top::down, left::right] for top, left, down, right in ADAM7]
        if interlaced
        else [pixels_HWC]
    )
    rows = (row for part in passes if part.size for row in part)
    data = b"".join(b"\0" + _packed(row[None], bits, 1, ">") for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced)
    parts = (
        png_chunk(b"IHDR", header),
        chunks,
        png_chunk(b"IDAT", zlib.compress(data)),
        png_chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif_bytes(orientation: int) -> bytes:
    """EXIF that says nothing but how the rows are to be shown."""
    return (
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 274, SHORT, 1, orientation, 0) + bytes(4)
    )


def as_shown(stored: np.ndarray, orientation: int) -> np.ndarray:
    """The rows as a viewer shows them, pixel by pixel from the table of the EXIF standard."""
    height, width = stored.shape[:2]
    bottom, right = height - 1, width - 1
    source = {
        1: lambda row, column: (row, column),
        2: lambda row, column: (row, right - column),
        3: lambda row, column: (bottom - row, right - column),
        4: lambda row, column: (bottom - row, column),
        5: lambda row, column: (column, row),
        6: lambda row, column: (bottom - column, row),
        7: lambda row, column: (bottom - column, right - row),
        8: lambda row, column: (column, right - row),
    }[orientation]
    rows, columns = (width, height) if orientation >= 5 else (height, width)
    return np.array(
        [[stored[source(row, column)] for column in range(columns)] for row in range(rows)]
    )
