"""Frames through a model, few at a time: every score, every picture and every ensemble's choice
takes this way.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from objectives.data.spec import FrameSpec
from objectives.device.memory import DoesNotFitError, TooLarge, attempt, empty_cache
from objectives.device.portions import frames_at_once
from objectives.device.precision import exact
from objectives.program.pixels import pixels_on
from objectives.program.segmenter import predict_labels
from objectives.scoring.metrics import confusions_GKK

Found = TypeVar("Found")


def passes(
    segmenter: nn.Module,
    images_NHWC: np.ndarray,
    spec: FrameSpec,
    work: Callable[[slice, Tensor], Found],
    *,
    device: torch.device,
) -> Iterator[tuple[slice, Found]]:
    """Yield each part of raw frames (N, H, W, C), with what ``work`` makes of the part and its
    logits (B, K, H, W) in fp32.

    A part that memory is too small for is halved, and so are the rest. Leaves the model in
    evaluation mode.

    Raises:
        DoesNotFitError: Memory is too small for a single frame.
    """

    @torch.inference_mode()
    def passed(part: slice) -> Found:
        with exact():
            logits_BKHW: Tensor = segmenter.eval()(pixels_on(device, images_NHWC[part]))
        return work(part, logits_BKHW)

    start = 0
    size = frames_at_once(spec.height, spec.width)
    while start < len(images_NHWC):
        size = min(size, len(images_NHWC) - start)
        part = slice(start, start + size)
        outcome = attempt(device, passed, part)
        if not isinstance(outcome, TooLarge):
            yield part, outcome
            start += size
            continue
        empty_cache(device)
        if size == 1:
            raise DoesNotFitError(
                f"a single frame of {spec.height} x {spec.width} does not fit through the model "
                f"into the memory of {device}: "
                f"take a smaller model or a device with more memory ({outcome.reason})"
            )
        size //= 2


def masks_on(device: torch.device, masks_BHW: np.ndarray) -> Tensor:
    """Return masks (B, H, W) uint8 on a device; a copy, for maps are read-only."""
    return torch.from_numpy(np.array(masks_BHW)).to(device)


def part_confusions_GKK(
    logits_BKHW: Tensor,
    masks_BHW: Tensor,
    spec: FrameSpec,
    group_of_B: npt.NDArray[np.integer],
    groups: int,
) -> np.ndarray:
    """Return the confusion matrices (G, K, K) int64 of predicted labels, which have no ignored pixel,
    of so many groups of frames, as `Evaluation` has them.
    """
    return np.asarray(
        confusions_GKK(
            predict_labels(logits_BKHW, spec).flatten(1),
            masks_BHW.flatten(1),
            torch.from_numpy(np.array(group_of_B, dtype=np.int64)).to(masks_BHW.device),
            groups,
            spec.num_classes,
            spec.ignore_label,
        ).cpu()
    )
