"""A mixture of losses that share one softmax."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from objectives.losses.pixels import Term, read_pixels


@final
@dataclass(frozen=True)
class MixtureLoss:
    """Weighted sum of loss terms over the labelled pixels of a batch, computed in float32 whatever the logits are."""

    terms: tuple[tuple[float, Term], ...]  # the weight of each term, above 0, and the term
    weights_K: Tensor  # float32, one a class; kept where the logits are, or moved there at every call
    ignore_label: int | None

    def __call__(self, logits_BKHW: Tensor, mask_BHW: Tensor) -> Tensor:
        """Return the loss of one batch, a float32 scalar.

        ``mask_BHW`` is int64 with labels in 0..K-1 or ``ignore_label``. Ignored pixels change neither value nor gradient;
        a batch of only ignored pixels gives 0 with zero gradients.
        """
        weights_K = self.weights_K.to(logits_BKHW.device)
        with torch.autocast(device_type=logits_BKHW.device.type, enabled=False):
            pixels = read_pixels(logits_BKHW, mask_BHW, weights_K=weights_K, ignore_label=self.ignore_label)
            first, *others = (weight * term(pixels) for weight, term in self.terms)
            return sum(others, start=first)
