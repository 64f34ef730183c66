"""Training: a generator that yields one result an epoch and knows nothing of who drives it."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from objectives.beat import Beat, unheard
from objectives.config import Config
from objectives.data.dataset import Dataset
from objectives.device.computing import processor_of
from objectives.errors import WorldError
from objectives.losses import Phases, build_phases, class_weights_K
from objectives.scoring.evaluate import Beside, Evaluation, evaluate
from objectives.statistics.resampling import blocks_of
from objectives.training.augment_on import AugmentOn
from objectives.training.batches import TrainingBatches
from objectives.training.micro_batches import StepStart
from objectives.training.results import EpochResult
from objectives.training.state import TrainingState
from objectives.training.step import TrainingStep


class DivergedError(WorldError):
    """The loss became infinite or NaN; the message names the epoch."""


@dataclass(frozen=True)
class Training:
    """One trial, ready to train: its state between epochs, its batches, its loss and its data."""

    state: TrainingState
    batches: TrainingBatches
    losses: Phases
    data: Dataset
    # merits of a run before's epochs, which the schedule hears instead of this one's
    heard: tuple[float, ...] = ()


def prepare(
    config: Config,
    data: Dataset,
    *,
    seed: int,
    device: torch.device,
    prefetchers: int = 0,
    augment_on: AugmentOn = "host",
    last_epoch: int = 0,
    heard: tuple[float, ...] = (),
) -> Training:
    """Return a training run before its first epoch; ``training.state.load_bytes`` goes on from a
    checkpoint.

    With ``last_epoch`` it trains to that epoch of its schedule, without early stopping, and scores
    that one. With ``heard``, the merits (see `EpochResult.merit`) of a run before, one for each
    epoch, a schedule that listens goes the same way again.
    """
    # first: it may fork
    batches = TrainingBatches(
        config, data, seed, device=device, prefetchers=prefetchers, augment_on=augment_on
    )
    return begin(batches, last_epoch=last_epoch, heard=heard)


def begin(
    batches: TrainingBatches, *, last_epoch: int = 0, heard: tuple[float, ...] = ()
) -> Training:
    """Return a training run on these batches, as `prepare` gives it; from here on the device is
    used.
    """
    config = batches.config
    data = batches.data
    device = batches.device
    steps = len(batches)
    state = TrainingState(
        config,
        data.spec,
        seed=batches.seed,
        steps_per_epoch=steps,
        device=device,
        last_epoch=last_epoch,
    )
    weights_K = class_weights_K(
        config.loss.class_weights, data.pixel_counts, data.spec.ignore_label
    )
    losses = build_phases(
        config, weights_K=weights_K.to(device), ignore_label=data.spec.ignore_label
    )
    return Training(state, batches, losses, data, heard)


def fit(training: Training, beat: Beat = unheard, settle: Beat = unheard) -> Iterator[EpochResult]:
    """Train until the state is finished, one epoch per item; after each, the state is complete and
    can be saved.

    ``beat`` is called after every batch of training and of validation, or part of one where memory
    is too small for it: who hears it can tell slow training from training that stands still. ``settle``
    is called before an epoch is noted: when it raises, the state's history is without that epoch.

    Raises:
        DivergedError: The loss is not finite.
        DoesNotFitError: Memory is too small.
    """
    state = training.state
    data = training.data
    validation = data.parts["validation"]
    images = data.images[validation]
    masks = data.masks[validation]
    blocks_N = blocks_of(data.groups[validation])
    watched = state.config.schedule.hears or "score"
    while not state.finished:
        start = time.monotonic()
        losses = launch_epoch(training, beat)
        criterion = training.losses.at(state.epoch) if state.config.reads_validation_loss else None
        evaluation = evaluate(
            state.average.model,
            images,
            masks,
            data.spec,
            device=state.device,
            beat=beat,
            beside=Beside(criterion, soft=True),
            group_of_N=blocks_N,
        )
        # that device is idle by now: nothing is waited for again
        loss = mean_loss(losses, training)
        if criterion and not math.isfinite(evaluation.loss):
            raise DivergedError(
                f"the validation loss is {evaluation.loss} in epoch {state.epoch + 1}"
            )
        settle()
        result = result_of(state, evaluation, loss=loss, seconds=time.monotonic() - start)
        afresh = watched == "loss" and training.losses.begins(state.epoch)
        matrices = (torch.from_numpy(each) for each in evaluation.matrices)
        state.note(result, *matrices)
        merit = training.heard[result.number - 1] if training.heard else result.merit(watched)
        state.learning_rate.after_epoch(merit, afresh=afresh)
        yield result


def result_of(
    state: TrainingState, evaluation: Evaluation, *, loss: float, seconds: float
) -> EpochResult:
    """Return what the epoch after those of a state has come to."""
    assert evaluation.soft
    return EpochResult(
        number=state.epoch + 1,
        score=evaluation.score,
        loss=loss,
        learning_rate=state.learning_rate.value,
        iou=tuple(float(iou) for iou in evaluation.iou),
        seconds=seconds,
        scored_on=processor_of(state.device),
        validation_loss=evaluation.loss,
        measured=tuple(float(value) for value in evaluation.measured),
        soft_score=finite_or_nan(evaluation.soft.score(evaluation.scoring)),
        balanced_nll=finite_or_nan(evaluation.soft.balanced_nll(evaluation.scoring)),
    )


def finite_or_nan(value: float) -> float:
    """Return a number, NaN for an infinite one: weights that still score may be close to none."""
    return value if math.isfinite(value) else math.nan


def train_epoch(training: Training, beat: Beat = unheard) -> float:
    """Train on each of the epoch's batches once; return the mean loss.

    Raises:
        DivergedError: It is not finite.
        DoesNotFitError: Memory is too small.
    """
    return mean_loss(launch_epoch(training, beat), training)


def launch_epoch(training: Training, beat: Beat = unheard) -> Tensor:
    """Do the same, and return the sum of the losses on the device, which may not have come so far yet.

    Raises:
        DoesNotFitError: Memory is too small.
    """
    state = training.state
    state.begin_epoch()
    step = TrainingStep(
        state, training.losses.at(state.epoch), StepStart(state.model, state.device), beat
    )
    total = torch.zeros((), device=state.device)
    for images_BCHW, masks_BHW in training.batches.epoch(state.epoch):
        total += step(images_BCHW, masks_BHW)
    return total


def mean_loss(total: Tensor, training: Training) -> float:
    """Return the mean loss of the epoch that was launched, of the sum over its batches.

    Raises:
        DivergedError: It is not finite.
    """
    mean = float(total) / len(training.batches)
    if not math.isfinite(mean):
        raise DivergedError(f"the loss is {mean} in epoch {training.state.epoch + 1}")
    return mean
