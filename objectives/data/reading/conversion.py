"""Pixels of image files made alike: a range of values as 16 bits, grey as RGB, RGB as grey."""

import numpy as np

from objectives.data.options import PixelReading
from objectives.data.reading.raster import RefusalError

# of red, green and blue, times 65536. Source: ITU-R BT.601 luma, in the whole numbers of Pillow's
# convert("L")
LUMA = (19595, 38470, 7471)
_FULL = 65535


def converted(image_HWC: np.ndarray, reading: PixelReading) -> np.ndarray:
    """Return an image as ``reading`` wants it, uint8 or uint16.

    Raises:
        RefusalError: Its pixels are neither, and no range is stated; or its channels are no
            colours.
    """
    if reading.range is not None:
        image_HWC = _in_range(image_HWC, *reading.range)
    elif image_HWC.dtype.kind != "u" or image_HWC.dtype.itemsize > 2:
        raise RefusalError(
            "pixels must be 8 or 16 bit without sign, or `range:` of data.yaml must state theirs",
            str(image_HWC.dtype),
        )
    match reading.channels:
        case "rgb":
            return _as_rgb(image_HWC)
        case "grey":
            return _as_grey(image_HWC)
        case _:
            return image_HWC


def _in_range(image_HWC: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the lowest value as 0, the highest as 65535, those beyond as these; what is no number
    as 0.
    """
    if image_HWC.dtype.kind not in "iuf":
        raise RefusalError("pixels must be real numbers", str(image_HWC.dtype))
    share = (np.nan_to_num(image_HWC.astype(np.float64), nan=low) - low) / (high - low)
    return np.rint(np.clip(share, 0.0, 1.0) * _FULL).astype(np.uint16)


def _as_rgb(image_HWC: np.ndarray) -> np.ndarray:
    match image_HWC.shape[2]:
        case 1 | 2:  # the second is opacity
            return np.repeat(image_HWC[:, :, :1], 3, axis=2)
        case 3 | 4:
            return image_HWC[:, :, :3]
        case count:
            raise RefusalError("must have 1 to 4 channels to become RGB", str(count))


def _as_grey(image_HWC: np.ndarray) -> np.ndarray:
    match image_HWC.shape[2]:
        case 1 | 2:
            return image_HWC[:, :, :1]
        case 3 | 4:
            wide_HWC = image_HWC[:, :, :3].astype(np.uint64)
            weighed_HW1 = (wide_HWC * np.array(LUMA, np.uint64)).sum(axis=2, keepdims=True)
            return np.asarray((weighed_HW1 + 0x8000) >> 16, image_HWC.dtype)
        case count:
            raise RefusalError("must have 1 to 4 channels to become grey", str(count))
