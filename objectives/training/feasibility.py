"""What a config costs, and whether it can be trained at all, found on the meta device: no memory,
no GPU, no arithmetic.
"""

from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from objectives.augmentation.crops import trained_spec
from objectives.config import SGD, Adam, AdamW, Config, Lion, Optimiser, Smp
from objectives.data.spec import FrameSpec
from objectives.errors import ProblemsError, UserError
from objectives.losses import build_phases, class_weights_K
from objectives.networks import all_outputs, count_parameters
from objectives.networks.smp import SmpNetwork
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.training.micro_batches import SMALLEST, part_sizes
from objectives.training.order import frames_a_batch
from objectives.training.saved_memory import EmulatedAutocast, SavedStorages

FLOAT32 = 4  # bytes
GIB = 2**30
MANY = 10**9  # frames of an epoch: more than any batch
LOSS_SIDE = 16  # pixels; the losses run for real on frames so small, and are scaled to the study's
LONE_VALUE = "Expected more than 1 value per channel"  # how torch's batch norm refuses a lone value


@dataclass(frozen=True)
class ResourceEstimate:
    """The size and work of one config; all counts are whole.

    ``memory_bytes`` is what training holds at its fullest, when the loss has been computed and
    nothing been freed: ``state_bytes``, and ``frame_bytes`` for each frame of the largest batch.
    What a GPU takes besides (its context, workspaces and fragmentation, often half a GiB and a
    tenth) is not in it.
    """

    parameters: int
    multiply_adds: int  # of the way forward of a frame, or of a window of one
    memory_bytes: int
    # weights, gradients, what the optimiser remembers, the averaged copy and that of the best epoch; frames
    # that live on the device
    state_bytes: int
    frame_bytes: int  # kept of one frame for the way back


@dataclass(frozen=True)
class Verdict:
    """What a config costs and why it cannot work; ``problem`` is empty when it can."""

    estimate: ResourceEstimate
    problem: str


@dataclass(frozen=True)
class Unmeasurable:
    """Why a config cannot work, which has no cost: its network cannot be built, or its batches
    cannot pass through it.
    """

    problem: str


def estimate(config: Config, spec: FrameSpec, *, bf16: bool = True) -> ResourceEstimate:
    """Return what ``config`` costs on frames of ``spec``; ``bf16`` as on a GPU, without it as on a
    CPU.

    Raises:
        UserError: The network cannot be built or cannot be trained with such batches.
    """
    with torch.random.fork_rng(devices=[]):  # building draws weights, even where none are kept
        return _measure(config, _Segmenters(config, spec), MANY, bf16=bf16)


def infeasible(config: Config, spec: FrameSpec, *, memory_bytes: int, bf16: bool = True) -> str:
    """Return one line that says why ``config`` cannot be trained in ``memory_bytes``; empty when it
    can.
    """
    return check(config, spec, memory_bytes=memory_bytes, bf16=bf16).problem


def check(
    config: Config,
    spec: FrameSpec,
    *,
    memory_bytes: int,
    frames: int = MANY,
    bf16: bool = True,
    divides: bool = False,
    held_bytes: int = 0,
) -> Verdict | Unmeasurable:
    """Return the estimate of ``config`` and, if it cannot be trained in ``memory_bytes``, why; 0
    checks no memory.

    ``frames`` are those of an epoch: few of them make smaller batches than ``train.batch_size``.

    ``divides``: on a device that says when its memory is too small, batches are divided until they
    fit (see micro_batches), so only the smallest part of one must. The kernel of a host kills the
    process instead: there the whole batch must fit.

    ``held_bytes`` are those of frames that live on the device all the while.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            segmenters = _Segmenters(config, spec)
            cost = _holding(held_bytes, _measure(config, segmenters, frames, bf16=bf16))
            deep = [_too_deep(config, each) for each in (segmenters.trained, segmenters.scored)]
        except UserError as error:
            return Unmeasurable(_one_line(error))
    largest = frames_a_batch(frames, config.train.batch_size)
    return Verdict(
        cost,
        next(filter(None, deep), "")
        or _beyond_memory(config, cost, memory_bytes, largest, divides=divides),
    )


def _holding(held_bytes: int, cost: ResourceEstimate) -> ResourceEstimate:
    return replace(
        cost,
        memory_bytes=cost.memory_bytes + held_bytes,
        state_bytes=cost.state_bytes + held_bytes,
    )


def _one_line(error: UserError) -> str:
    if isinstance(error, ProblemsError):
        return "; ".join(map(str, error.problems))
    return " ".join(str(error).split())


class _Segmenters:
    """A config's segmenter for what it is trained on and for what is scored, on the meta device:
    the same one where these have the same size.
    """

    def __init__(self, config: Config, spec: FrameSpec) -> None:
        self.spec = trained_spec(config.train, spec)
        self.trained = _segmenter_on_meta(config, self.spec)
        same = (self.spec.height, self.spec.width) == (spec.height, spec.width)
        self.scored = self.trained if same else _segmenter_on_meta(config, spec)


def _segmenter_on_meta(config: Config, spec: FrameSpec) -> Segmenter:
    with torch.device("meta"):
        segmenter = build_segmenter(config, spec)
    return segmenter.to("meta").train()  # some parts insist on being built elsewhere


def _measure(
    config: Config, segmenters: _Segmenters, epoch_frames: int, *, bf16: bool
) -> ResourceEstimate:
    """Return the cost of training on crops, and of the way forward of what is scored at once."""
    spec = segmenters.spec
    segmenter = segmenters.trained
    batch_size = config.train.batch_size
    frames = min(2, frames_a_batch(epoch_frames, batch_size))
    work = FlopCounterMode(display=False)
    autocast = EmulatedAutocast(enabled=bf16)
    with work, autocast, SavedStorages(segmenter) as saved:
        try:
            outputs = _training_outputs(segmenter, frames, spec.channels)
        except ValueError as error:
            if LONE_VALUE not in str(error):
                raise
            few = epoch_frames == 1
            rule = (
                "the training part must have at least 2 frames"
                if few
                else "train.batch_size must be at least 2"
            )
            raise UserError(
                f"{rule} for this {config.model.kind} network on frames of {spec.height} x "
                f"{spec.width}: a batch norm sees one "
                f"value per channel of a lone frame, got {epoch_frames if few else batch_size}"
            ) from error
    for output in outputs:
        saved.add(output)
    pixel_bytes = _loss_bytes(config, spec, heads=len(outputs), dtype=outputs[0].dtype)
    frame_bytes = saved.count_bytes(besides=autocast.weights) // frames + round(
        pixel_bytes * spec.height * spec.width
    )
    state_bytes = _state_bytes(config.optimiser, segmenter) + sum(
        copy.nbytes for copy in autocast.weights
    )
    # the counter takes a multiplication and an addition as two
    multiply_adds = work.get_total_flops() // (2 * frames)
    if segmenters.scored is not segmenter:
        multiply_adds = _multiply_adds(segmenters.scored, spec.channels)
    return ResourceEstimate(
        parameters=count_parameters(segmenter),
        multiply_adds=multiply_adds,
        memory_bytes=state_bytes + frames_a_batch(epoch_frames, batch_size) * frame_bytes,
        state_bytes=state_bytes,
        frame_bytes=frame_bytes,
    )


def _training_outputs(segmenter: Segmenter, frames: int, channels: int) -> tuple[Tensor, ...]:
    """Return what ``segmenter.training_outputs`` gives, but of shrunk frames: shrinking leaves
    autocast, which meta does not have.
    """
    images_BChw = torch.empty(frames, channels, *segmenter.shrunk, device="meta")
    pixels_BCHW = torch.empty(frames, channels, *segmenter.size, device="meta")
    return tuple(
        segmenter.enlarge(logits_BKhw, pixels_BCHW)
        for logits_BKhw in all_outputs(segmenter.network, images_BChw)
    )


def _multiply_adds(segmenter: Segmenter, channels: int) -> int:
    """Return those of one frame's way forward."""
    with FlopCounterMode(display=False) as work, torch.inference_mode():
        _training_outputs(segmenter.eval(), 1, channels)
    return int(work.get_total_flops()) // 2


def _state_bytes(optimiser: Optimiser, segmenter: Segmenter) -> int:
    parameters = sum(p.numel() for p in segmenter.parameters())
    buffers = sum(buffer.nbytes for buffer in segmenter.buffers())
    weights = 1
    gradients = 1
    average = 1
    scored = 1  # of the best epoch
    copies = weights + gradients + average + scored + _moments(optimiser)
    return FLOAT32 * parameters * copies + (weights + average + scored) * buffers


def _moments(optimiser: Optimiser) -> int:
    """Return how many numbers the optimiser remembers of each weight."""
    match optimiser:
        case AdamW() | Adam():
            return 2
        case Lion():
            return 1
        case SGD(momentum=momentum):
            return 1 if momentum else 0
        case _:
            assert_never(optimiser)


def _loss_bytes(config: Config, spec: FrameSpec, *, heads: int, dtype: torch.dtype) -> float:
    """Bytes that the greedier phase's loss keeps of one pixel for the way back, from a small run of
    the loss itself.
    """
    counts_K = np.ones(spec.num_classes, dtype=np.int64)
    weights_K = class_weights_K(config.loss.class_weights, counts_K, spec.ignore_label)
    phases = build_phases(config, weights_K=weights_K, ignore_label=spec.ignore_label)
    mask_BHW = torch.full((1, LOSS_SIDE, LOSS_SIDE), spec.scored[0])
    shape = (1, spec.num_classes, LOSS_SIDE, LOSS_SIDE)
    most = 0
    for mixture in {id(phase): phase for phase in (phases.first, phases.second)}.values():
        outputs = tuple(torch.zeros(shape, dtype=dtype, requires_grad=True) for _ in range(heads))
        with SavedStorages(nn.Identity()) as saved:
            loss = mixture.over_outputs(outputs, mask_BHW)
        most = max(most, saved.count_bytes(besides=outputs))
        del loss
    return most / LOSS_SIDE**2


def _too_deep(config: Config, segmenter: Segmenter) -> str:
    height, width = segmenter.shrunk
    scale = config.train.scale
    side = min(height, width)
    seen = f"where the network sees {height} x {width} pixels (train.scale {scale:g})"
    model = config.model
    if isinstance(model, Smp):
        assert isinstance(segmenter.network, SmpNetwork)
        if segmenter.network.multiple > side:
            needed = f"at least {segmenter.network.multiple} pixels a side"
            return f"model.encoder: {model.encoder} under {model.decoder} needs {needed} {seen}"
    elif 2**model.halvings > side:
        most = side.bit_length() - 1
        return (
            f"model.depth must be at most {most} {seen}: each level halves them, got "
            f"{model.halvings}"
        )
    return ""


def _beyond_memory(
    config: Config, estimate: ResourceEstimate, memory_bytes: int, largest: int, *, divides: bool
) -> str:
    batch_size = config.train.batch_size
    at_once = part_sizes(largest, SMALLEST)[0] if divides else largest
    needed_bytes = estimate.state_bytes + at_once * estimate.frame_bytes
    if memory_bytes == 0 or needed_bytes <= memory_bytes:
        return ""
    needed = f"needs about {needed_bytes / GIB:.1f} GiB"
    at_hand = f"this worker has {memory_bytes / GIB:.1f}"
    fitting = (memory_bytes - estimate.state_bytes) // estimate.frame_bytes
    if fitting >= 1 and not divides:
        return (
            f"train.batch_size must be at most {fitting}: training {needed}, {at_hand}, got "
            f"{batch_size}"
        )
    sized_by = config.model.sized_by
    size = f"model.{sized_by} {getattr(config.model, sized_by)}"
    if divides:
        return (
            f"{size} {needed} with {at_once} frame(s) at a time, {at_hand}: too little, "
            f"however "
            f"a batch is divided"
        )
    return f"{size} {needed} at train.batch_size {batch_size}, {at_hand}: too little for one frame"
