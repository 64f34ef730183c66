"""What every loss reads of one batch, computed once: log-probabilities, the target's share of them, labels and weights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class SoftCounts(NamedTuple):
    """Sums over the labelled pixels of a batch, one entry a class: overlaps of prediction and target without a threshold."""

    intersection_K: Tensor  # sum of p_k over the pixels of class k
    predicted_K: Tensor  # sum of p_k over all labelled pixels
    target_K: Tensor  # number of pixels of class k


@dataclass(frozen=True)
class LabelledPixels:
    """One batch as the losses see it, in float32; ignored pixels have weight 0 and enter no sum."""

    log_p_BKHW: Tensor
    log_pt_BHW: Tensor  # log-probability of each pixel's own class, p_t of the papers
    target_BHW: Tensor  # int64 in 0..K-1; 0 where the pixel is ignored
    labelled_BHW: Tensor  # 1.0 where the pixel has a label, 0.0 where it is ignored
    weight_BHW: Tensor  # class weight of each labelled pixel, 0.0 where it is ignored
    weights_K: Tensor  # 0 for classes that are left out

    def weighted_mean(self, loss_BHW: Tensor) -> Tensor:
        """Sum of weight * loss over sum of weights (the convention of torch's cross-entropy); 0 when no pixel has weight."""
        smallest = torch.finfo(torch.float32).tiny
        return (self.weight_BHW * loss_BHW).sum() / self.weight_BHW.sum().clamp_min(smallest)

    @cached_property
    def soft_counts(self) -> SoftCounts:
        """Soft overlaps of the whole batch, as the score too is counted over all frames together."""
        batch, classes = self.log_p_BKHW.shape[:2]
        labelled_BN, target_BN = self.labelled_BHW.flatten(1), self.target_BHW.flatten(1)
        empty_BK = self.log_p_BKHW.new_zeros(batch, classes)  # summed by frame first: one long float32 sum would lose digits
        pt_BN = self.log_pt_BHW.exp().flatten(1) * labelled_BN
        return SoftCounts(
            intersection_K=empty_BK.scatter_add(1, target_BN, pt_BN).sum(0),
            predicted_K=(self.log_p_BKHW.exp() * self.labelled_BHW[:, None]).sum((0, 2, 3)),
            target_K=empty_BK.scatter_add(1, target_BN, labelled_BN).sum(0),
        )


Term = Callable[[LabelledPixels], Tensor]  # one loss: a scalar, 0 at best


def read_pixels(logits_BKHW: Tensor, mask_BHW: Tensor, *, weights_K: Tensor, ignore_label: int | None) -> LabelledPixels:
    """Return the batch as the losses read it.

    The ignored label's logit stays in the softmax, as with ``ignore_index`` of torch, smp and MONAI: no pixel ever asks
    for it, so it only learns to be small, and it is never predicted.
    """
    log_p_BKHW = functional.log_softmax(logits_BKHW.float(), dim=1)
    labelled_BHW = torch.ones_like(mask_BHW, dtype=torch.bool) if ignore_label is None else mask_BHW != ignore_label
    target_BHW = torch.where(labelled_BHW, mask_BHW, 0)  # the ignored label may lie outside 0..K-1
    labelled_float_BHW = labelled_BHW.float()
    return LabelledPixels(
        log_p_BKHW=log_p_BKHW,
        log_pt_BHW=log_p_BKHW.gather(1, target_BHW[:, None]).squeeze(1),
        target_BHW=target_BHW,
        labelled_BHW=labelled_float_BHW,
        weight_BHW=weights_K[target_BHW] * labelled_float_BHW,
        weights_K=weights_K,
    )
