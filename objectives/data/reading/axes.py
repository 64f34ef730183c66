"""Which axes the arrays of an npz have, from their shapes: channels of colour come before or behind
height and width.
"""

from typing import Literal

import numpy as np

from objectives.data.reading.raster import RefusalError

Axes = Literal["", "NHW", "NHWC", "NCHW"]
Shape = tuple[int, ...]
FEW_CHANNELS = 4  # grey, RGB, and either with opacity
AMBIGUOUS = (
    "the shape does not tell which axis the channels are: state `axes: NHWC` or `axes: NCHW` in a "
    "data.yaml with `npz:`"
)


def axes_with_masks(images: Shape, masks: Shape) -> tuple[Axes, ...]:
    """Return what the axes of images may be whose masks have the shape (N, H, W)."""
    if len(images) == 3:
        return ("NHW",) if images == masks else ()
    behind: tuple[Axes, ...] = ("NHWC",) if images[:3] == masks else ()
    return (*behind, "NCHW") if images[:1] + images[2:] == masks else behind


def axes_alone(images: Shape) -> tuple[Axes, ...]:
    """Return what the axes of images without masks may be: an axis of 1 to 4 is that of channels,
    and so is the odd one beside two equal ones.
    """
    if len(images) == 3:
        return ("NHW",)
    _, first, middle, last = images
    if (first <= FEW_CHANNELS) != (last <= FEW_CHANNELS):
        return ("NCHW",) if first <= FEW_CHANNELS else ("NHWC",)
    if (first == middle) != (middle == last):
        return ("NHWC",) if first == middle else ("NCHW",)
    return "NHWC", "NCHW"


def as_frames(images: np.ndarray, may_be: tuple[Axes, ...], stated: Axes) -> np.ndarray:
    """Return images whose axes are ``stated``, else the only ones that they may be, as a view
    (N, H, W, C).

    Raises:
        RefusalError: The stated ones do not fit, or none are, and there are two to choose from.
    """
    fitting = [axes for axes in may_be if stated in ("", axes)]
    match fitting:
        case ["NHW"]:
            return images[..., None]
        case ["NHWC"]:
            return images
        case ["NCHW"]:
            return np.moveaxis(images, 1, 3)
        case []:
            rule = f"must have the axes {' or '.join(may_be)}, but data.yaml says {stated}"
            raise RefusalError(rule, str(images.shape))
        case _:
            raise RefusalError(AMBIGUOUS, str(images.shape))
