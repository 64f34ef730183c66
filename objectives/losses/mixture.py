"""A mixture of losses that share one softmax."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from objectives.config import LOSS_TERMS, ForeignLoss, Mixture
from objectives.config.foreign import foreign_parts
from objectives.losses.boundary import boundary
from objectives.losses.cross_entropy import cross_entropy
from objectives.losses.dice import dice
from objectives.losses.focal import focal
from objectives.losses.generalised_dice import generalised_dice
from objectives.losses.jaccard import jaccard
from objectives.losses.pixels import Term, read_pixels
from objectives.losses.tversky import tversky
from objectives.losses.unified_focal import unified_focal

TERMS: Mapping[str, Callable[..., Tensor]] = {  # each by its field of the config
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "generalised_dice": generalised_dice,
    "tversky": tversky,
    "unified_focal": unified_focal,
    "jaccard": jaccard,
    "boundary": boundary,
}


@final
@dataclass(frozen=True)
class MixtureLoss:
    """Weighted sum of loss terms over the labelled pixels of a batch, computed in float32 whatever
    the logits are.
    """

    terms: tuple[tuple[float, Term], ...]  # the weight of each term, above 0, and the term
    # float32, one a class; kept where the logits are, or moved there at every call
    weights_K: Tensor
    ignore_label: int | None

    def __call__(self, logits_BKHW: Tensor, mask_BHW: Tensor) -> Tensor:
        """Return the loss of one batch, a float32 scalar.

        ``mask_BHW`` is int64 with labels in 0..K-1 or ``ignore_label``. Ignored pixels change
        neither value nor gradient; a batch of only ignored pixels gives 0 with zero gradients.
        """
        weights_K = self.weights_K.to(logits_BKHW.device)
        with torch.autocast(device_type=logits_BKHW.device.type, enabled=False):
            pixels = read_pixels(
                logits_BKHW, mask_BHW, weights_K=weights_K, ignore_label=self.ignore_label
            )
            first, *others = (weight * term(pixels) for weight, term in self.terms)
            return sum(others, start=first)

    def over_outputs(self, outputs_BKHW: Sequence[Tensor], mask_BHW: Tensor) -> Tensor:
        """Return the loss of deep supervision: outputs of one size, the final one first, weigh 1,
        1/2, 1/4, ... over their sum.

        One output alone gives the plain loss.

        Source: Isensee et al. 2021 (Nature Methods 18:203), online methods: the weights of
        nnU-Net's deep supervision. There the mask shrinks to each output; here a network brings its
        outputs to the mask's size, so no thin class is lost.
        """
        total = 2.0 - 0.5 ** (len(outputs_BKHW) - 1)
        first, *others = (
            0.5**i / total * self(logits_BKHW, mask_BHW)
            for i, logits_BKHW in enumerate(outputs_BKHW)
        )
        return sum(others, start=first)


def build_loss(mixture: Mixture, *, weights_K: Tensor, ignore_label: int | None) -> MixtureLoss:
    """Return the mixture as a function of logits (B, K, H, W) and an int64 mask (B, H, W).

    ``weights_K`` comes from ``class_weights_K``; put it on the training device once, so that no
    call has to. Terms of weight 0 are not computed.
    """
    weights = {term: getattr(mixture, term) for term in LOSS_TERMS}
    active = tuple(
        (weight, _term(term, mixture.arguments_of(term)))
        for term, weight in weights.items()
        if weight > 0.0
    )
    return MixtureLoss(terms=active, weights_K=weights_K.float(), ignore_label=ignore_label)


def _term(name: str, arguments: Mapping[str, float]) -> Term:
    if name in TERMS:
        return partial(TERMS[name], **arguments)
    loss: ForeignLoss = foreign_parts("losses")[name].part(**arguments)
    return loss.compute
