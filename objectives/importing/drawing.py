"""Outlines and pixel masks drawn into one label image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Area = npt.NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True)
class Outlines:
    """An object as closed polygons, (P, 2) each, x and y in pixels from the upper left corner of the image; their
    areas together are the object's.
    """

    polygons: tuple[Floats, ...]

    @property
    def is_finite(self) -> bool:
        """Whether all corners are numbers."""
        return all(bool(np.isfinite(polygon_P2).all()) for polygon_P2 in self.polygons)

    @cached_property
    def size(self) -> float:
        """Its area in pixels, by the shoelace formula."""
        return sum(_shoelace(polygon_P2) for polygon_P2 in self.polygons)

    def area(self, height: int, width: int) -> Area:
        """Return its pixels: those whose centre lies inside, by the even-odd rule. What lies outside the image is cut off."""
        inside_HW = np.zeros((height, width), bool)
        for polygon_P2 in self.polygons:
            inside_HW |= filled(polygon_P2, height, width)
        return inside_HW


@dataclass(frozen=True)
class Pixels:
    """An object as pixels (h, w), of which the first lies at a row and a column of the image."""

    inside_hw: Area
    row: int = 0
    column: int = 0

    @cached_property
    def size(self) -> float:
        """Its area in pixels."""
        return float(self.inside_hw.sum())

    def area(self, height: int, width: int) -> Area:
        """Return its pixels. What lies outside the image is cut off."""
        inside_HW = np.zeros((height, width), bool)
        rows, columns = np.nonzero(self.inside_hw)
        rows, columns = rows + self.row, columns + self.column
        kept = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        inside_HW[rows[kept], columns[kept]] = True
        return inside_HW


@dataclass(frozen=True)
class Shape:
    """An object: the name of its class, and where it is."""

    name: str
    where: Outlines | Pixels


def drawn(
    shapes: Sequence[Shape], label_of: dict[str, int], size: tuple[int, int], ground: int
) -> np.ndarray:
    """Return the label image (H, W) uint8 of shapes: the larger ones first, so that the smaller lie on top; of equal ones
    the later lies on top. Pixels of none have the label ``ground``.
    """
    mask_HW = np.full(size, ground, np.uint8)
    for shape in sorted(shapes, key=lambda each: -each.where.size):
        mask_HW[shape.where.area(*size)] = label_of[shape.name]
    return mask_HW


def filled(polygon_P2: Floats, height: int, width: int) -> Area:
    """Return the pixels (H, W) whose centre lies inside a closed polygon, by the even-odd rule; a centre on an edge belongs
    to the side to the right of and below it, so that areas which share an edge share no pixel.
    """
    inside_HW = np.zeros((height, width), bool)
    x_P, y_P = polygon_P2.T
    next_x_P, next_y_P = np.roll(x_P, -1), np.roll(y_P, -1)
    first = max(0, int(np.ceil(y_P.min() - 0.5)))
    last = min(height, int(np.ceil(y_P.max() - 0.5)))
    columns_W = np.arange(width) + 0.5
    for row in range(first, last):
        y = row + 0.5
        crosses_P = (y_P <= y) != (next_y_P <= y)
        run_P, rise_P = (next_x_P - x_P)[crosses_P], (next_y_P - y_P)[crosses_P]
        at = np.sort(x_P[crosses_P] + (y - y_P[crosses_P]) / rise_P * run_P)
        inside_HW[row] = np.searchsorted(at, columns_W, side="right") % 2 == 1
    return inside_HW


def _shoelace(polygon_P2: Floats) -> float:
    x_P, y_P = polygon_P2.T
    return float(abs(x_P @ np.roll(y_P, -1) - y_P @ np.roll(x_P, -1)) / 2.0)
