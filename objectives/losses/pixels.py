"""What every loss reads of one batch, computed once: log-probabilities, the target's share of them,
labels and weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class SoftCounts(NamedTuple):
    """Sums over the labelled pixels of a batch, one entry a class: overlaps of prediction and
    target without a threshold.

    Each is a sum of its own, none a difference of others: rounding would leave errors of a class
    that has none.
    """

    true_K: Tensor  # true positives: sum of p_k over the pixels of class k
    extra_K: Tensor  # false positives: sum of p_k over the labelled pixels of other classes
    missed_K: Tensor  # false negatives: sum of 1 - p_k over the pixels of class k
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
        """Sum of weight * loss over sum of weights (the convention of torch's cross-entropy); 0
        when no pixel has weight.
        """
        smallest = torch.finfo(torch.float32).tiny
        return (self.weight_BHW * loss_BHW).sum() / self.weight_BHW.sum().clamp_min(smallest)

    @cached_property
    def occurs_K(self) -> Tensor:
        """The classes that losses over classes count: those of a labelled pixel in the batch and a
        class weight above 0.

        The overlap of a class without a labelled pixel is 0 whatever is predicted and has no
        gradient, so it could only add a constant that jumps from batch to batch. Otherwise class
        weights play no part in losses over classes, since every class has the same say already.
        """
        return (self.soft_counts.target_K > 0) & (self.weights_K > 0)

    def mean_over_classes(self, loss_K: Tensor, *, among_K: Tensor | bool = True) -> Tensor:
        """Mean over the classes that occur and are ``among_K``; 0 when none is left. The others'
        values must be finite too.
        """
        counted_K = self.occurs_K & among_K
        return torch.where(counted_K, loss_K, 0.0).sum() / counted_K.sum().clamp_min(1)

    @property
    def _own_BKHW(self) -> Tensor:
        """1.0 where a pixel is of the class, ignored ones of class 0."""
        return torch.zeros_like(self.log_p_BKHW).scatter_(1, self.target_BHW[:, None], 1.0)

    @cached_property
    def soft_counts(self) -> SoftCounts:
        """Soft overlaps of the whole batch, as the score too is counted over all frames
        together.
        """
        # sums in a fixed order, where adding each pixel to its class has none on a GPU; by frame
        # first: one long float32 sum would lose digits
        own_BKP = self._own_BKHW.flatten(2)
        values_BPS = torch.stack(
            [
                value_BHW.flatten(1)
                for value_BHW in (
                    self.log_pt_BHW.exp() * self.labelled_BHW,
                    -torch.expm1(self.log_pt_BHW) * self.labelled_BHW,
                    self.labelled_BHW,
                )
            ],
            dim=2,
        )
        true_K, missed_K, target_K = torch.bmm(own_BKP, values_BPS).sum(0).unbind(1)
        others_BKHW = self.log_p_BKHW.exp().scatter(1, self.target_BHW[:, None], 0.0)
        extra_K = (others_BKHW * self.labelled_BHW[:, None]).sum((0, 2, 3))
        return SoftCounts(true_K, extra_K, missed_K, target_K)


Term = Callable[[LabelledPixels], Tensor]  # one loss: a scalar, 0 at best


def read_pixels(
    logits_BKHW: Tensor, mask_BHW: Tensor, *, weights_K: Tensor, ignore_label: int | None
) -> LabelledPixels:
    """Return the batch as the losses read it.

    The ignored label's logit stays in the softmax, as with ``ignore_index`` of torch, smp and
    MONAI: no pixel ever asks for it, so it only learns to be small, and it is never predicted.
    """
    log_p_BKHW = functional.log_softmax(logits_BKHW.float(), dim=1)
    labelled_BHW = (
        torch.ones_like(mask_BHW, dtype=torch.bool)
        if ignore_label is None
        else mask_BHW != ignore_label
    )
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
