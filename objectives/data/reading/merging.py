"""Several mask files of one frame as one mask."""

from collections.abc import Sequence

import numpy as np

from objectives.data.reading.layout import Overlap
from objectives.data.values import Values

BACKGROUND = 0  # the label of what no file paints


def file_values(threshold: int) -> Values:
    """Return the table of a file that holds the pixels of one class: 1 from the threshold on."""
    return Values(((f"0-{threshold - 1}", 0), (f"{threshold}-65535", 1)))


def merged(layers: Sequence[np.ndarray], overlap: Overlap) -> np.ndarray:
    """Return one mask (H, W) of several of equal shape, each of which paints what is not
    `BACKGROUND`.

    Where they overlap, the later one is on top; with ``smallest`` the one that paints fewer pixels,
    and of equal ones the later.
    """
    if overlap == "smallest":
        layers = sorted(layers, key=lambda layer: -int(np.count_nonzero(layer)))
    mask_HW = np.zeros(layers[0].shape, np.uint16)
    for layer_HW in layers:
        np.copyto(mask_HW, layer_HW, where=layer_HW != BACKGROUND)
    return mask_HW.astype(np.uint8) if mask_HW.max() < 256 else mask_HW
