"""Whether a config can be trained at all, by what it costs."""

from dataclasses import dataclass, replace

import torch

from objectives.config import Config, EncoderUNet, Smp
from objectives.data.spec import FrameSpec
from objectives.errors import ProblemsError, UserError, first_line
from objectives.networks.smp import REFUSALS, SmpNetwork
from objectives.program.segmenter import Segmenter
from objectives.training.micro_batches import SMALLEST, part_sizes
from objectives.training.order import frames_a_batch
from objectives.training.resources import MANY, ResourceEstimate, Segmenters, measure

GIB = 2**30


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
            segmenters = Segmenters(config, spec)
            cost = _holding(held_bytes, measure(config, segmenters, frames, bf16=bf16))
            deep = [_too_deep(config, each) for each in (segmenters.trained, segmenters.scored)]
        except UserError as error:
            return Unmeasurable(_one_line(error))
        except REFUSALS as error:
            if not isinstance(config.model, Smp | EncoderUNet):
                raise
            return Unmeasurable(
                f"model.encoder: {config.model.encoder} cannot see frames of {spec.height} x "
                f"{spec.width} at train.scale {config.train.scale:g} ({first_line(error)}); choose "
                f"another encoder, a larger train.scale or crop"
            )
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
