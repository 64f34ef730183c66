"""Resizing of frames and masks to a study's one size."""

import cv2
import numpy as np


def resize_image(image_HWC: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the image at another size, same type: mean over areas when it shrinks, linear when it
    grows.
    """
    if image_HWC.shape[:2] == (height, width):
        return image_HWC
    shrinks = height * width < image_HWC.shape[0] * image_HWC.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    planes = [  # channel by channel: OpenCV takes four at most in one call
        cv2.resize(
            np.ascontiguousarray(image_HWC[:, :, channel]), (width, height), interpolation=how
        )
        for channel in range(image_HWC.shape[2])
    ]
    return np.stack(planes, axis=2)


def resize_mask(mask_HW: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the mask at another size by the nearest pixel to each centre: no label appears that
    was not there.

    OpenCV's plain nearest neighbour takes a block's first corner, half a pixel off what the image's
    mean over areas shows.
    """
    if mask_HW.shape == (height, width):
        return mask_HW
    return np.asarray(cv2.resize(mask_HW, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
