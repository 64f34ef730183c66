"""Several mask files of one frame as one mask."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from objectives.data.reading.layout import Overlap
from objectives.data.values import Values

BACKGROUND = 0  # the label of what no file paints


def file_values(threshold: int) -> Values:
    """Return the table of a file that holds the pixels of one class: 1 from the threshold on."""
    return Values(((f"0-{threshold - 1}", 0), (f"{threshold}-65535", 1)))


class Layer(NamedTuple):
    """What one file paints: labels (H, W), or one for all, where it does."""

    painted_HW: np.ndarray  # bool
    labels: np.ndarray | int


def merged(layers: Sequence[Layer], overlap: Overlap) -> np.ndarray:
    """Return one mask (H, W) of several of equal shape, `BACKGROUND` where none paints.

    Where they overlap, the later one is on top; with ``smallest`` the one that paints fewer pixels,
    and of equal ones the later.
    """
    if overlap == "smallest":
        layers = sorted(layers, key=lambda layer: -int(np.count_nonzero(layer.painted_HW)))
    mask_HW = np.full(layers[0].painted_HW.shape, BACKGROUND, np.uint16)
    for layer in layers:
        np.copyto(mask_HW, layer.labels, where=layer.painted_HW, casting="same_kind")
    return mask_HW.astype(np.uint8) if mask_HW.max() < 256 else mask_HW
