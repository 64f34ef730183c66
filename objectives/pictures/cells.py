"""Frames and masks as pictures of red, green and blue, and the cells of a grid that they fit into."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from objectives.data.spec import FrameSpec

GREY, RED, GREEN = np.array([(60, 60, 60), (214, 39, 40), (200, 225, 200)], dtype=np.uint8)
LARGEST_CELL_PX = 1024  # a side of one frame before it is shrunk to be seen


def displayable(image_HWC: np.ndarray) -> np.ndarray:
    """Return an RGB picture (H, W, 3) of a frame of any dtype and channels, stretched between its
    1st and 99th percentile.

    One or two channels show the first as grey, more show the first three as red, green and blue.
    """
    shown = image_HWC[..., :1] if image_HWC.shape[-1] < 3 else image_HWC[..., :3]
    low, high = np.percentile(shown, (1, 99))
    stretched = np.clip((shown.astype(np.float64) - low) / max(high - low, 1e-6), 0.0, 1.0)
    return np.broadcast_to((stretched * 255).astype(np.uint8), (*shown.shape[:2], 3))


def coloured(labels_HW: np.ndarray, spec: FrameSpec) -> np.ndarray:
    """Return the mask (H, W, 3) in the colours of its classes."""
    return np.asarray(np.array(spec.colours, dtype=np.uint8)[labels_HW])


def error_map(mask_HW: np.ndarray, predicted_HW: np.ndarray, spec: FrameSpec) -> np.ndarray:
    """Wrong pixels red, right ones green, those that are not scored grey, as (H, W, 3)."""
    judged = np.where((mask_HW == predicted_HW)[..., None], GREEN, RED)
    return np.asarray(np.where(np.isin(mask_HW, spec.scored)[..., None], judged, GREY))


def cell_for(pictures: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return the height and width that each of some pictures (H, W, 3) is shown in: as large as the
    largest, shrunk where that is more than can be seen.
    """
    height, width = (max((each.shape[axis] for each in pictures), default=1) for axis in (0, 1))
    shrink = min(1.0, LARGEST_CELL_PX / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def fitted(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a picture (H, W, 3) as large as a cell allows, in a corner of it; the rest is white."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(height / picture.shape[0], width / picture.shape[1])
    high, wide = (max(1, round(side * scale)) for side in picture.shape[:2])
    cell = np.full((height, width, 3), 255, np.uint8)
    shown = Image.fromarray(np.ascontiguousarray(picture))
    cell[:high, :wide] = np.asarray(shown.resize((wide, high), Image.Resampling.NEAREST))
    return cell
