"""Boundary loss: a differentiable F1 of the outlines of classes, by max-pooling."""

import torch
from torch import Tensor
from torch.nn import functional

from objectives.losses.pixels import LabelledPixels

# pixels, odd: an edge is where another class is within this window (theta_0 of the paper)
EDGE_WINDOW = 3
# pixels, odd: edges match within this window, here up to 2 pixels apart (theta of the paper)
MATCH_WINDOW = 5
# of a sum of edges or of precision plus recall: below it there is no prediction to match
SMALLEST = 1e-7


def boundary(pixels: LabelledPixels) -> Tensor:
    """Return 1 minus the soft F1 of class outlines, averaged over the classes that have an outline
    in the batch.

    A class's edge is p_k minus its minimum over ``EDGE_WINDOW``, 0 or 1 for the target. Precision
    is the share of predicted edge within ``MATCH_WINDOW`` of a target edge, recall the reverse,
    both summed over the batch. The outside of the frame and ignored pixels hold no edge and make
    none: they are no neighbours at all, so nothing about them can change the loss. A class that
    fills all that is labelled has no outline and is left out, as are those that
    ``LabelledPixels.occurs_K`` leaves out. 0 when none is left. A prediction without any edge (the
    same everywhere) gives 1 and no gradient, so the term wants another one beside it.

    Source: Bokhovkin and Burnaev 2019 (arXiv:1905.07852), the definitions of boundary, extended
    boundary, precision, recall and BF1; pool(1 - y) - (1 - y) is y minus its minimum, written so to
    keep the digits of small y.
    """
    labelled_B1HW = pixels.labelled_BHW[:, None] > 0
    one_hot_BKHW = (
        functional.one_hot(pixels.target_BHW, pixels.log_p_BKHW.shape[1]).movedim(-1, 1).float()
    )
    target_BKHW = _edges_BKHW(one_hot_BKHW, labelled_B1HW)
    predicted_BKHW = _edges_BKHW(pixels.log_p_BKHW.exp(), labelled_B1HW)
    length_K = target_BKHW.sum((0, 2, 3))
    precision_K = _matched_K(predicted_BKHW, target_BKHW) / predicted_BKHW.sum((0, 2, 3)).clamp_min(
        SMALLEST
    )
    recall_K = _matched_K(target_BKHW, predicted_BKHW) / length_K.clamp_min(1.0)
    f1_K = 2.0 * precision_K * recall_K / (precision_K + recall_K).clamp_min(SMALLEST)
    return pixels.mean_over_classes(1.0 - f1_K, among_K=length_K > 0)


def _edges_BKHW(inside_BKHW: Tensor, labelled_B1HW: Tensor) -> Tensor:
    # 1 never is the only minimum, so it makes no edge around it
    known_BKHW = torch.where(labelled_B1HW, inside_BKHW, 1.0)
    return torch.where(labelled_B1HW, known_BKHW + _largest_BKHW(-known_BKHW, EDGE_WINDOW), 0.0)


def _matched_K(edges_BKHW: Tensor, others_BKHW: Tensor) -> Tensor:
    return (edges_BKHW * _largest_BKHW(others_BKHW, MATCH_WINDOW)).sum((0, 2, 3))


def _largest_BKHW(values_BKHW: Tensor, window: int) -> Tensor:
    return functional.max_pool2d(values_BKHW, window, stride=1, padding=window // 2)
