"""Validation: the one function behind an epoch's score, the final score and the check of
an export.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from objectives.beat import Beat, unheard
from objectives.data.spec import FrameSpec
from objectives.program.segmenter import predict_labels
from objectives.scoring.metrics import iou_K
from objectives.scoring.passes import masks_on, part_confusion_KK, passes
from objectives.scoring.soft import SoftSums, no_soft_sums, soft_sums
from objectives.statistics.scores import Scoring

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of frames, all from one confusion matrix over the whole set.

    ``confusion_KK`` int64: rows are true labels, columns predicted ones, in pixels; ignored pixels
    are not in it. ``loss`` is the mean over frames of that of each batch, NaN where none was asked
    for, and ``soft`` has the sums of probabilities, where they were.
    """

    confusion_KK: np.ndarray
    scoring: Scoring
    loss: float = math.nan
    soft: SoftSums | None = None

    @property
    def score(self) -> float:
        """The mean over the scored classes that occur, in 0..1."""
        return self.scoring.of(self.confusion_KK)

    @property
    def measured(self) -> np.ndarray:
        """The measure of each class (K,), scored or not, NaN where a class does not occur."""
        return self.scoring.by_class(self.confusion_KK)

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
    soft: bool = False,
) -> Evaluation:
    """Score a model on labelled frames (N, H, W, C) and masks (N, H, W) in fp32; leaves it in
    evaluation mode.

    ``loss`` is computed of the same logits, (B, K, H, W), and masks, (B, H, W) int64, where it is
    given; the sums of probabilities are made where ``soft`` asks for them. ``beat`` is called after
    each batch.

    Raises:
        DoesNotFitError: Memory is too small for a single frame.
        ProblemsError: The package that brings the score is not installed.
    """

    def measured(part: slice, logits_BKHW: Tensor) -> tuple[np.ndarray, float, SoftSums | None]:
        masks_BHW = masks_on(device, masks_NHW[part])
        part_loss = float(loss(logits_BKHW, masks_BHW.long())) if loss else math.nan
        part_soft = soft_sums(logits_BKHW, masks_BHW, spec) if soft else None
        return part_confusion_KK(logits_BKHW, masks_BHW, spec), part_loss, part_soft

    scoring = spec.scoring
    total_KK = np.zeros((spec.num_classes, spec.num_classes), dtype=np.int64)
    total = 0.0
    sums = no_soft_sums(spec.num_classes) if soft else None
    for part, (part_KK, part_loss, part_soft) in passes(
        segmenter, images_NHWC, spec, measured, device=device
    ):
        total_KK += part_KK
        total += part_loss * (part.stop - part.start)
        if sums and part_soft:
            sums += part_soft
        beat()
    mean = total / len(images_NHWC) if len(images_NHWC) else math.nan
    return Evaluation(total_KK, scoring, mean, sums)


def predict(
    segmenter: nn.Module, images_NHWC: np.ndarray, spec: FrameSpec, *, device: torch.device
) -> np.ndarray:
    """Labels uint8 (N, H, W) of raw frames (N, H, W, C); leaves the model in evaluation mode.

    Raises:
        DoesNotFitError: Memory is too small for a single frame.
    """

    def labels(_: slice, logits_BKHW: Tensor) -> np.ndarray:
        return np.asarray(predict_labels(logits_BKHW, spec).to(torch.uint8).cpu())

    labels_NHW = np.zeros((len(images_NHWC), spec.height, spec.width), dtype=np.uint8)
    for part, labels_BHW in passes(segmenter, images_NHWC, spec, labels, device=device):
        labels_NHW[part] = labels_BHW
    return labels_NHW
