"""Predictions as tiled TIFFs, a few rows at a time: labels, and numbers in bands. Imports no torch."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self, final
from xml.sax.saxutils import escape

import numpy as np
import tifffile

from objectives.predict.predicted import PredictedImage

TILE = 256  # pixels a side of the tiles of a TIFF
_CLASSIC = 2**31  # bytes of pixels for which a TIFF needs no 64-bit offsets
_GDAL_METADATA = 42112  # where GDAL and QGIS read the names of bands
_TEXT = 2  # the type of a TIFF's tag


def write_labels(image: PredictedImage, strips: Iterator[np.ndarray], path: Path) -> None:
    """Write an image's labels (rows, W) as a tiled, compressed TIFF, a row of tiles at a time."""
    tifffile.imwrite(
        path,
        _tiles(strips, image.width),
        shape=(image.height, image.width),
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="minisblack",
        compression="deflate",
        bigtiff=image.height * image.width > _CLASSIC,
        extratags=image.georeference,
        metadata=None,
    )


@final
class BandsFile:
    """A tiled TIFF of float32 bands with names, which is there at once, full of zeros, and takes rows
    as they come, so that several can be written together.

    It is not compressed: its tiles have places then, and deflate takes little off such numbers. Its
    description is JSON, ``{"bands": [...]}``; GDAL finds the names, too.
    """

    def __init__(self, path: Path, image: PredictedImage, bands: Sequence[str]) -> None:
        self.height, self.width, self.bands = image.height, image.width, len(bands)
        across, down = -(-self.width // TILE), -(-self.height // TILE)
        self.tile_bytes = TILE * TILE * len(bands) * 4
        several = len(bands) > 1
        tifffile.imwrite(
            path,
            shape=(self.height, self.width, *([len(bands)] if several else [])),
            dtype=np.dtype("<f4"),
            byteorder="<",
            tile=(TILE, TILE),
            photometric="minisblack",
            bigtiff=across * down * self.tile_bytes > _CLASSIC,
            description=json.dumps({"bands": list(bands)}),
            extratags=[*image.georeference, (_GDAL_METADATA, _TEXT, 0, _gdal_names(bands), True)],
            metadata=None,
            planarconfig="contig" if several else None,
        )
        with tifffile.TiffFile(path) as opened:
            self.places = np.reshape(opened.pages[0].dataoffsets, (down, across))
        self.file = path.open("r+b")
        self.row = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, rows_BHW: np.ndarray) -> None:
        """Write the next rows, (B, rows, W)."""
        rows_HWB = np.moveaxis(rows_BHW, 0, -1)
        while len(rows_HWB):
            down, first = divmod(self.row, TILE)
            here_HWB, rows_HWB = np.split(rows_HWB, [min(len(rows_HWB), TILE - first)])
            for across, tile_hwB in enumerate(_across(here_HWB)):
                self.file.seek(self.places[down, across] + first * self.tile_bytes // TILE)
                self.file.write(tile_hwB.astype("<f4").tobytes())
            self.row += len(here_HWB)


def _gdal_names(bands: Sequence[str]) -> bytes:
    items = (
        f'<Item name="DESCRIPTION" sample="{place}" role="description">{escape(name)}</Item>'
        for place, name in enumerate(bands)
    )
    return f"<GDALMetadata>{''.join(items)}</GDALMetadata>".encode()


def _tiles(strips: Iterator[np.ndarray], width: int) -> Iterator[np.ndarray]:
    """Yield the tiles of labels from left to right and from above to below; what lies beyond them is 0."""
    for band_HW in _bands(strips):
        whole_HW = np.zeros((TILE, width), np.uint8)
        whole_HW[: len(band_HW)] = band_HW
        yield from _across(whole_HW)


def _across(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the parts of rows (h, W, ...) that lie in tiles beside each other, (h, TILE, ...); what lies
    beyond them is 0.
    """
    for left in range(0, rows.shape[1], TILE):
        part = rows[:, left : left + TILE]
        lacking = TILE - part.shape[1]
        beyond = [(0, 0), (0, lacking), *[(0, 0)] * (rows.ndim - 2)]
        yield np.pad(part, beyond) if lacking else np.ascontiguousarray(part)


def _bands(strips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the rows of strips as many at a time as a tile has, the last ones as they are left."""
    held: list[np.ndarray] = []
    rows = 0
    for strip in strips:
        held.append(strip)
        rows += len(strip)
        if rows < TILE:
            continue
        joined = np.concatenate(held)
        whole = rows // TILE * TILE
        yield from (joined[start : start + TILE] for start in range(0, whole, TILE))
        held, rows = [joined[whole:].copy()], rows - whole
    if rows:
        yield np.concatenate(held)
