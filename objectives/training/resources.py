"""What a config costs in weights, arithmetic and memory, found on the meta device: no memory, no
GPU, no arithmetic.
"""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from objectives.augmentation.crops import trained_spec
from objectives.config import SGD, Adam, AdamW, Config, Lion, Optimiser
from objectives.data.spec import FrameSpec
from objectives.errors import UserError
from objectives.losses import build_phases, class_weights_K
from objectives.networks import all_outputs, count_parameters
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.training.order import frames_a_batch
from objectives.training.saved_memory import EmulatedAutocast, SavedStorages

FLOAT32 = 4  # bytes
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


def estimate(config: Config, spec: FrameSpec, *, bf16: bool = True) -> ResourceEstimate:
    """Return what ``config`` costs on frames of ``spec``; ``bf16`` as on a GPU, without it as on a
    CPU.

    Raises:
        UserError: The network cannot be built or cannot be trained with such batches.
    """
    with torch.random.fork_rng(devices=[]):  # building draws weights, even where none are kept
        return measure(config, Segmenters(config, spec), MANY, bf16=bf16)


class Segmenters:
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


def measure(
    config: Config, segmenters: Segmenters, epoch_frames: int, *, bf16: bool
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
