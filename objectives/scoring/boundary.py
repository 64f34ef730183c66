"""Pixels near the contours of classes, for scores that go by these alone: one frame at a time, whatever its
size.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.scoring.metrics import confusion_KK
from objectives.scoring.passes import Part

Labels = npt.NDArray[np.integer]


def boundary_confusion_LL(
    labels_HW: Labels, mask_HW: Labels, num_classes: int, ignore_label: int | None, share: float
) -> npt.NDArray[np.int64]:
    """Return how many pixels of one frame lie near contours, by true label (rows) and predicted label
    (columns), (L, L) int64 with L = K + 1: the last label is of pixels that are near no contour there.

    Those of class k on the diagonal are in both bands, its row sums to the true band, its column to the
    predicted one. Matrices of frames add up. With `iou` they give the Boundary IoU of each class: of
    bands as wide as ``share`` of the frame's diagonal, one pixel at least.

    The frame's edge is a contour, as in the authors' code, and so is that of pixels with the ignored
    label, which are cut out of both masks: a class that occurs has a band.

    Source: Cheng et al. 2021 (Boundary IoU: Improving Object-Centric Image Segmentation Evaluation),
    equation 2, and their implementation.
    """
    nothing = num_classes
    width = band_width(mask_HW.shape, share)
    unknown_HW = mask_HW == (nothing if ignore_label is None else ignore_label)
    truth_HW, predicted_HW = (
        _band(np.where(unknown_HW, nothing, each_HW), nothing, width)
        for each_HW in (mask_HW, labels_HW)
    )
    counts_LL = confusion_KK(predicted_HW, truth_HW, num_classes + 1, None)
    counts_LL[nothing, nothing] = 0  # near no contour of either
    return counts_LL


class Contours:
    """The matrices of groups of frames, whose predicted labels come in parts; the frames are given in their
    order.

    ``by_group_GLL`` are those of the frames that are whole so far.
    """

    def __init__(
        self, masks: Frames, spec: FrameSpec, group_of_N: npt.NDArray[np.integer], groups: int
    ) -> None:
        self.masks = masks
        self.spec = spec
        self.group_of_N = group_of_N
        self.by_group_GLL = np.zeros(
            (groups, spec.num_classes + 1, spec.num_classes + 1), dtype=np.int64
        )
        self._held: list[Labels] = []  # rows of a frame that is not whole

    def add(self, part: Part, labels_BHW: Labels | Sequence[Labels]) -> list[npt.NDArray[np.int64]]:
        """Take the labels of a part in; return the matrix of each frame that is whole by now."""
        whole = []
        for number, labels_HW in zip(part.numbers, labels_BHW, strict=True):
            self._held.append(labels_HW)
            mask_HW = self.masks[number]
            if sum(map(len, self._held)) < len(mask_HW):
                continue
            rows_HW = np.concatenate(self._held)
            self._held = []
            whole.append(
                boundary_confusion_LL(
                    rows_HW,
                    mask_HW,
                    self.spec.num_classes,
                    self.spec.ignore_label,
                    self.spec.score.boundary,
                )
            )
            self.by_group_GLL[self.group_of_N[number]] += whole[-1]
        return whole


def band_width(shape: tuple[int, ...], share: float) -> int:
    """Return how many pixels a share of a frame's diagonal is, at least one."""
    return max(1, round(share * math.hypot(*shape)))


def _band(labels_HW: Labels, nothing: int, width: int) -> npt.NDArray[np.uint16]:
    """Return the labels of pixels that have another one so near, or the edge; of the others, nothing.

    Near is a square of so many pixels to each side: what so many erosions by one of 3 x 3 take away.
    """
    labels_HW = labels_HW.astype(np.uint16)
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    # ``nothing`` is above all labels, so that one beside it is a contour, too
    edge = cv2.BORDER_CONSTANT
    highest_HW = cv2.dilate(labels_HW, square, borderType=edge, borderValue=nothing)
    lowest_HW = cv2.erode(labels_HW, square, borderType=edge, borderValue=nothing)
    return np.where(highest_HW != lowest_HW, labels_HW, np.uint16(nothing))
