"""Frames, masks and places that arrays hold, made alike: images (N, H, W, C), masks (N, H, W)."""

import numpy as np

from objectives.data.options import LARGEST_LABEL
from objectives.data.reading.axes import Axes, as_frames, axes_alone, axes_with_masks
from objectives.data.reading.image_forms import NO_VOLUMES, ONE_LABEL
from objectives.data.reading.raster import RefusalError

PIXEL_TYPES = (np.uint8, np.uint16)


def refuse_pixels(images: np.ndarray, *, ranged: bool) -> None:
    """Refuse what cannot be images (N, H, W), (N, H, W, C) or (N, C, H, W); any real numbers may be
    pixels where their range is stated.

    Raises:
        RefusalError: They cannot.
    """
    if images.ndim not in (3, 4) or 0 in images.shape:
        rule = f"must be images (N, H, W), (N, H, W, C) or (N, C, H, W); {NO_VOLUMES}"
        raise RefusalError(rule, f"{images.dtype} {images.shape}")
    if images.dtype not in PIXEL_TYPES and not (ranged and images.dtype.kind in "iuf"):
        rule = "must be uint8 or uint16, or `range:` in a data.yaml with `npz:` must state theirs"
        raise RefusalError(rule, f"{images.dtype} {images.shape}")


def frames_alone(images: np.ndarray, stated: Axes, *, ranged: bool) -> np.ndarray:
    """Return images without masks as (N, H, W, C).

    Raises:
        RefusalError: They are none, or their axes are not clear.
    """
    refuse_pixels(images, ranged=ranged)
    return as_frames(images, axes_alone(images.shape), stated)


def frames_of(
    images: np.ndarray, masks_NHW: np.ndarray, stated: Axes, *, ranged: bool
) -> np.ndarray:
    """Return images as (N, H, W, C), by the size of their masks.

    Raises:
        RefusalError: They are none, do not fit the masks, or their axes are not clear.
    """
    refuse_pixels(images, ranged=ranged)
    may_be = axes_with_masks(images.shape, masks_NHW.shape)
    if not may_be:
        rule = f"must be as many and as large as their masks {masks_NHW.shape}"
        raise RefusalError(rule, str(images.shape))
    return as_frames(images, may_be, stated)


def labels_of(masks: np.ndarray) -> np.ndarray:
    """Return masks as (N, H, W), uint8 or uint16; an axis of one channel may be there.

    Raises:
        RefusalError: They are no labels.
    """
    if masks.ndim == 4 and 1 in (masks.shape[1], masks.shape[3]):
        masks = masks[:, 0] if masks.shape[1] == 1 else masks[..., 0]
    if masks.ndim != 3 or 0 in masks.shape:
        rule = f"must be labels (N, H, W); {ONE_LABEL if masks.ndim == 4 else NO_VOLUMES}"
        raise RefusalError(rule, f"{masks.dtype} {masks.shape}")
    if masks.dtype.kind not in "biu":
        raise RefusalError("must be whole numbers", f"{masks.dtype} {masks.shape}")
    if masks.dtype in PIXEL_TYPES:
        return masks
    lowest, highest = int(masks.min()), int(masks.max())
    if lowest < 0 or highest > LARGEST_LABEL:
        rule = f"must be labels 0..{LARGEST_LABEL}"
        raise RefusalError(rule, f"{masks.dtype} {lowest}..{highest}")
    return masks.astype(np.uint8 if highest < 256 else np.uint16)


def groups_of(groups: np.ndarray, count: int) -> tuple[str, ...]:
    """Return the place of each of ``count`` frames.

    Raises:
        RefusalError: The array cannot say.
    """
    if groups.shape != (count,) or groups.dtype.kind not in "iuSU":
        rule = f"must hold one whole number or name per frame ({count},)"
        raise RefusalError(rule, f"{groups.dtype} {groups.shape}")
    return tuple(str(group) for group in groups.tolist())
