"""One step of training: the gradients of a batch, at once or in as many parts as memory needs, then
the update.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from objectives.beat import Beat
from objectives.device.memory import DoesNotFitError, TooLarge, attempt, empty_cache
from objectives.device.precision import autocast
from objectives.losses import MixtureLoss
from objectives.training.micro_batches import StepStart, halved, part_sizes
from objectives.training.state import TrainingState


@final
@dataclass(frozen=True)
class TrainingStep:
    """Trains a state on one batch after the other; ``beat`` is called after each part of a batch.

    A batch for which memory is too small is repeated from its beginning in parts of half the size,
    and the size is kept in the state. The gradients of the parts, weighted by their shares of the
    frames, add up to those of the batch where a loss is a mean over pixels and the parts have
    equally many labelled ones (of equal class weight). Otherwise parts differ from the whole:
    overlap losses (Dice, Jaccard, ...) are the mean of those of the parts, batch norm normalises
    each part by itself and moves its statistics once a part, and dropout draws other numbers.
    """

    state: TrainingState
    mixture: MixtureLoss
    start: StepStart
    beat: Beat

    def __call__(self, images_BCHW: Tensor, masks_BHW: Tensor) -> Tensor:
        """Train on one batch; returns its loss, a scalar.

        Raises:
            DoesNotFitError: Memory is too small for the smallest parts, or for the update.
            MemoryTakenError: Others hold it.
        """
        self.state.learning_rate.before_step()
        loss = self._gradients_that_fit(images_BCHW, masks_BHW)
        if isinstance(update := attempt(self.state.device, self._update), TooLarge):
            # the update changes weights as it goes, so it is not repeated; fewer frames at once
            # would not make it smaller
            raise DoesNotFitError(
                f"the update of all weights does not fit into the memory of {self.state.device}, "
                f"whatever the batch (of {_size(images_BCHW)}): take a smaller model or a device "
                f"with more memory "
                f"({update.reason})"
            )
        return loss

    def _gradients_that_fit(self, images_BCHW: Tensor, masks_BHW: Tensor) -> Tensor:
        state = self.state
        frames = len(images_BCHW)
        state.optimiser.zero_grad(set_to_none=True)
        self.start.remember()
        while isinstance(
            loss := attempt(state.device, self._gradients, images_BCHW, masks_BHW), TooLarge
        ):
            state.optimiser.zero_grad(set_to_none=True)
            self.start.restore()
            empty_cache(state.device)
            smaller = halved(frames, state.micro_batch)
            if not smaller:
                raise DoesNotFitError(
                    f"training on a batch of {_size(images_BCHW)} does not fit into the memory of "
                    f"{state.device}, not even "
                    f"{part_sizes(frames, state.micro_batch)[0]} at a time: take a smaller model "
                    f"or train.scale, or a device "
                    f"with more memory ({loss.reason})"
                )
            state.micro_batch = smaller
        return loss

    def _gradients(self, images_BCHW: Tensor, masks_BHW: Tensor) -> Tensor:
        """Add the gradients of a batch to those of the weights; returns its loss."""
        sizes = part_sizes(len(images_BCHW), self.state.micro_batch)
        first, *others = (
            self._part_gradients(images_bCHW, masks_bHW, share=len(images_bCHW) / len(images_BCHW))
            for images_bCHW, masks_bHW in zip(
                torch.split(images_BCHW, sizes), torch.split(masks_BHW, sizes), strict=True
            )
        )
        return sum(others, start=first)

    def _part_gradients(self, images_bCHW: Tensor, masks_bHW: Tensor, *, share: float) -> Tensor:
        state = self.state
        with autocast(state.device, bf16=state.bf16):
            outputs = state.model.training_outputs(images_bCHW)
        loss = self.mixture.over_outputs(outputs, masks_bHW) * share
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.beat()
        return loss.detach()

    def _update(self) -> None:
        state = self.state
        if state.config.train.gradient_clip:
            torch.nn.utils.clip_grad_norm_(
                state.model.parameters(), state.config.train.gradient_clip
            )
        state.optimiser.step()
        state.average.update()


def _size(images_BCHW: Tensor) -> str:
    """Return the size of a batch in words."""
    frames, _, height, width = images_BCHW.shape
    return f"{frames} frame{'s' if frames > 1 else ''} of {height} x {width}"
