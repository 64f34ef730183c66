"""Confusion matrices, of which every score is made: one over a whole split, not a mean over
frames.
"""

from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.statistics.scores import class_scores

Counted = TypeVar("Counted", Tensor, npt.NDArray[np.int64])


@overload
def confusion_KK(
    predicted: Tensor, target: Tensor, num_classes: int, ignore_label: int | None
) -> Tensor: ...
@overload
def confusion_KK(
    predicted: npt.NDArray[np.integer],
    target: npt.NDArray[np.integer],
    num_classes: int,
    ignore_label: int | None,
) -> npt.NDArray[np.int64]: ...
def confusion_KK(
    predicted: Tensor | npt.NDArray[np.integer],
    target: Tensor | npt.NDArray[np.integer],
    num_classes: int,
    ignore_label: int | None,
) -> Tensor | npt.NDArray[np.int64]:
    """Return pixel counts by true label (rows) and predicted label (columns), int64, of the kind
    and device of the input.

    Both inputs have the same shape, any, and integer labels in 0..K-1; pixels whose target is
    ``ignore_label`` are not counted. Matrices of batches add up to the matrix of the split.
    """
    assert predicted.shape == target.shape, (
        f"{tuple(predicted.shape)} against {tuple(target.shape)}"
    )
    if isinstance(predicted, Tensor) and isinstance(target, Tensor):
        one = torch.zeros(1, dtype=torch.long, device=target.device)
        return confusions_GKK(
            predicted.reshape(1, -1), target.reshape(1, -1), one, 1, num_classes, ignore_label
        )[0]
    return _confusion_numpy_KK(np.asarray(predicted), np.asarray(target), num_classes, ignore_label)


def confusions_GKK(
    predicted_BP: Tensor,
    target_BP: Tensor,
    group_of_B: Tensor,
    groups: int,
    num_classes: int,
    ignore_label: int | None,
) -> Tensor:
    """Return the confusion matrices (G, K, K) int64 of B frames, as `confusion_KK` has them, of each of
    so many groups that ``group_of_B`` puts them in; P pixels in each frame.
    """
    cells_GC = cells_in_groups_GC(
        predicted_BP, target_BP, group_of_B, groups, num_classes, ignore_label
    )
    return confusions_of_GKK(cells_GC, num_classes)


def cells_in_groups_GC(
    predicted_BP: Tensor,
    target_BP: Tensor,
    group_of_B: Tensor,
    groups: int,
    num_classes: int,
    ignore_label: int | None,
) -> Tensor:
    """Return the same flattened, (G, K * K + 1) int64, with the number of pixels that lie outside the
    classes; nothing waits for the device.
    """
    size = num_classes * num_classes
    outside, ignored = size, size + 1
    known_BP = (predicted_BP < num_classes) & (target_BP < num_classes)
    cell_BP = torch.where(known_BP, target_BP.long() * num_classes + predicted_BP, outside)
    if ignore_label is not None:
        cell_BP = torch.where(target_BP == ignore_label, ignored, cell_BP)
    # by frame first: on a GPU pixels that are added to one place wait for each other
    cells_BC = cell_BP.new_zeros(len(cell_BP), size + 2)
    cells_BC.scatter_add_(1, cell_BP, torch.ones_like(cell_BP))
    cells_GC = cell_BP.new_zeros(groups, size + 2).index_add_(0, group_of_B, cells_BC)
    return cells_GC[:, : size + 1]


def confusions_of_GKK(
    cells_GC: Counted,
    num_classes: int,
) -> Counted:
    """Return the confusion matrices (G, K, K) of what `cells_in_groups_GC` has counted."""
    assert not cells_GC[:, -1].any(), f"a label outside 0..{num_classes - 1}"
    return cells_GC[:, :-1].reshape(len(cells_GC), num_classes, num_classes)


def _confusion_numpy_KK(
    predicted: npt.NDArray[np.integer],
    target: npt.NDArray[np.integer],
    num_classes: int,
    ignore_label: int | None,
) -> npt.NDArray[np.int64]:
    cells = num_classes * num_classes
    cell = target.astype(np.int64) * num_classes + predicted
    if ignore_label is not None:
        cell[target == ignore_label] = cells
    counts = np.bincount(cell.ravel(), minlength=cells + 1)
    assert len(counts) == cells + 1, f"a label outside 0..{num_classes - 1}"
    return counts[:cells].reshape(num_classes, num_classes).astype(np.int64)


def iou_K(confusion_KK: Tensor | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return each class's intersection over union, a fraction in 0..1; NaN where the class does not
    occur.

    Source: Everingham et al. 2015 (The Pascal Visual Object Classes Challenge: A Retrospective),
    segmentation accuracy: true positives / (true positives + false positives + false negatives).
    """
    return class_scores(_counts(confusion_KK)).iou


def _counts(confusion_KK: Tensor | npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    return confusion_KK.cpu().numpy() if isinstance(confusion_KK, Tensor) else confusion_KK
