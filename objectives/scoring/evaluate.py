"""Validation: the one function behind an epoch's score, the final score and the check of an export."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from objectives.beat import Beat, unheard
from objectives.data.spec import FrameSpec
from objectives.device.memory import DoesNotFitError, TooLarge, attempt, empty_cache
from objectives.device.portions import frames_at_once
from objectives.device.precision import exact
from objectives.program.pixels import pixels_on
from objectives.program.segmenter import predict_labels
from objectives.scoring.metrics import confusion_KK, iou_K, mean_iou

Criterion = Callable[[Tensor, Tensor], Tensor]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of frames, all from one confusion matrix over the whole set.

    ``confusion_KK`` int64: rows are true labels, columns predicted ones, in pixels; ignored pixels are not in it. ``loss`` is
    the mean over frames of that of each batch, NaN where none was asked for.
    """

    confusion_KK: np.ndarray
    scored: tuple[int, ...]
    loss: float = math.nan

    @property
    def score(self) -> float:
        """Mean IoU over the scored classes that occur, in 0..1."""
        return mean_iou(self.confusion_KK, self.scored)

    @property
    def iou(self) -> np.ndarray:
        """IoU per class (K,), NaN where a class does not occur."""
        return iou_K(self.confusion_KK)


def evaluate(
    segmenter: nn.Module,
    images_NHWC: np.ndarray,
    masks_NHW: np.ndarray,
    spec: FrameSpec,
    *,
    device: torch.device,
    beat: Beat = unheard,
    loss: Criterion | None = None,
) -> Evaluation:
    """Score a model on labelled frames (N, H, W, C) and masks (N, H, W) in fp32; leaves it in evaluation mode.

    ``loss`` is computed of the same logits, (B, K, H, W), and masks, (B, H, W) int64, where it is given. ``beat`` is called
    after each batch. Raises: DoesNotFitError when memory is too small for a single frame.
    """

    @torch.inference_mode()
    def measured(part: slice) -> tuple[np.ndarray, float]:
        logits_BKHW = _logits_BKHW(segmenter, images_NHWC[part], device)
        masks_BHW = torch.from_numpy(np.array(masks_NHW[part])).to(device)  # a copy: maps are read-only
        labels_BHW = predict_labels(logits_BKHW, spec)
        found_KK = np.asarray(confusion_KK(labels_BHW, masks_BHW, spec.num_classes, spec.ignore_label).cpu())
        return found_KK, float(loss(logits_BKHW, masks_BHW.long())) if loss else math.nan

    total_KK, total = np.zeros((spec.num_classes, spec.num_classes), dtype=np.int64), 0.0
    for part, (part_KK, part_loss) in _in_parts(measured, len(images_NHWC), spec, device):
        total_KK += part_KK
        total += part_loss * (part.stop - part.start)
        beat()
    return Evaluation(total_KK, spec.scored, total / len(images_NHWC) if len(images_NHWC) else math.nan)


def predict(segmenter: nn.Module, images_NHWC: np.ndarray, spec: FrameSpec, *, device: torch.device) -> np.ndarray:
    """Labels uint8 (N, H, W) of raw frames (N, H, W, C); leaves the model in evaluation mode.

    Raises: DoesNotFitError when memory is too small for a single frame.
    """

    def labels(part: slice) -> np.ndarray:
        logits_BKHW = _logits_BKHW(segmenter, images_NHWC[part], device)
        return np.asarray(predict_labels(logits_BKHW, spec).to(torch.uint8).cpu())

    labels_NHW = np.zeros((len(images_NHWC), spec.height, spec.width), dtype=np.uint8)
    for part, labels_BHW in _in_parts(labels, len(images_NHWC), spec, device):
        labels_NHW[part] = labels_BHW
    return labels_NHW


@torch.inference_mode()
def _logits_BKHW(segmenter: nn.Module, images_BHWC: np.ndarray, device: torch.device) -> Tensor:
    with exact():
        logits_BKHW: Tensor = segmenter.eval()(pixels_on(device, images_BHWC))
        return logits_BKHW


def _in_parts(
    work: Callable[[slice], Found], frames: int, spec: FrameSpec, device: torch.device
) -> Iterator[tuple[slice, Found]]:
    """Parts of all frames, and what the work gives of each; one that memory is too small for is halved, and so are the rest."""
    start, size = 0, frames_at_once(spec.height, spec.width)
    while start < frames:
        size = min(size, frames - start)
        part = slice(start, start + size)
        found = attempt(device, work, part)
        if not isinstance(found, TooLarge):
            yield part, found
            start += size
            continue
        empty_cache(device)
        if size == 1:
            raise DoesNotFitError(
                f"a single frame of {spec.height} x {spec.width} does not fit through the model into the memory of {device}: "
                f"take a smaller model or a device with more memory ({found.reason})"
            )
        size //= 2
