"""Which mixture an epoch is trained with: one for all, or a second one from some epoch on."""

from dataclasses import dataclass
from typing import assert_never, final

from torch import Tensor

from objectives.config import Config, NoSecondPhase, SecondPhase
from objectives.losses.mixture import MixtureLoss, build_loss


@final
@dataclass(frozen=True)
class Phases:
    """The mixtures of a training and the epoch, counted from 0, at which the second takes over from
    the first.
    """

    first: MixtureLoss
    second: MixtureLoss  # the first again when there is no second phase
    second_from: int

    def at(self, epoch: int) -> MixtureLoss:
        """Return the mixture of an epoch, counted from 0."""
        return self.first if epoch < self.second_from else self.second

    def begins(self, epoch: int) -> bool:
        """Return whether the second mixture takes over at an epoch, so that losses before it are no
        measure for those after.
        """
        return epoch == self.second_from and self.second is not self.first


def build_phases(config: Config, *, weights_K: Tensor, ignore_label: int | None) -> Phases:
    """Return the mixtures of ``config.loss`` and ``config.second_loss``, both with the class
    weights of the first.

    The second takes over at epoch ``round(start * epochs)``, counted from 0, a half to the even
    side, but not before epoch 1 nor after the last: both phases happen when there are two epochs or
    more. A single epoch belongs to the first.
    """
    first = build_loss(config.loss, weights_K=weights_K, ignore_label=ignore_label)
    begin = second_from(config)
    match config.second_loss:
        case NoSecondPhase():
            return Phases(first, first, begin)
        case SecondPhase() as mixture:
            return Phases(
                first, build_loss(mixture, weights_K=weights_K, ignore_label=ignore_label), begin
            )
        case _:
            assert_never(config.second_loss)


def second_from(config: Config) -> int:
    """Return the epoch, counted from 0, at which the second mixture takes over; without one the
    number of epochs.
    """
    epochs = config.train.epochs
    match config.second_loss:
        case NoSecondPhase():
            return epochs
        case SecondPhase(start=start):
            return max(1, min(round(start * epochs), epochs - 1))
        case _:
            assert_never(config.second_loss)
