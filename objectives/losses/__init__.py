"""Losses: each a function of one batch's labelled pixels, mixed with weights on a simplex."""

from functools import partial

from torch import Tensor

from objectives.config import Loss
from objectives.losses.class_weights import class_weights_K
from objectives.losses.cross_entropy import cross_entropy
from objectives.losses.dice import dice
from objectives.losses.focal import focal
from objectives.losses.mixture import MixtureLoss
from objectives.losses.pixels import Term

__all__ = ["MixtureLoss", "build_loss", "class_weights_K"]


def build_loss(loss: Loss, *, weights_K: Tensor, ignore_label: int | None) -> MixtureLoss:
    """Return the mixture that ``loss`` describes, a function of logits (B, K, H, W) and an int64 mask (B, H, W).

    ``weights_K`` comes from ``class_weights_K``; put it on the training device once, so that no call has to. Terms of
    weight 0 are not computed.
    """
    terms: tuple[tuple[float, Term], ...] = (
        (loss.cross_entropy, cross_entropy),
        (loss.focal, partial(focal, gamma=loss.focal_gamma)),
        (loss.dice, dice),
    )
    active = tuple((weight, term) for weight, term in terms if weight > 0.0)
    return MixtureLoss(terms=active, weights_K=weights_K.float(), ignore_label=ignore_label)
