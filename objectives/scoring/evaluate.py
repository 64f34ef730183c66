"""Validation: the one function behind an epoch's score, the final score and the check of
an export.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from objectives.beat import Beat, unheard
from objectives.data.spec import FrameSpec
from objectives.program.segmenter import predict_labels
from objectives.scoring.metrics import iou_K
from objectives.scoring.passes import masks_on, part_confusions_GKK, passes
from objectives.scoring.soft import SoftSums, no_soft_sums, soft_sums
from objectives.statistics.scores import Scoring

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of frames, all from one confusion matrix over the whole set.

    ``confusions_GKK`` int64 are those of G groups of frames: rows are true labels, columns predicted
    ones, in pixels; ignored pixels are in none. ``loss`` is the mean over frames of that of each
    batch, NaN where none was asked for, and ``soft`` has the sums of probabilities, where they were.
    """

    confusions_GKK: np.ndarray
    scoring: Scoring
    loss: float = math.nan
    soft: SoftSums | None = None

    @property
    def confusion_KK(self) -> np.ndarray:
        """The confusion matrix (K, K) over the whole set."""
        return np.asarray(self.confusions_GKK.sum(axis=0))

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
    group_of_N: npt.NDArray[np.integer] | None = None,
) -> Evaluation:
    """Score a model on labelled frames (N, H, W, C) and masks (N, H, W) in fp32; leaves it in
    evaluation mode.

    ``loss`` is computed of the same logits, (B, K, H, W), and masks, (B, H, W) int64, where it is
    given; the sums of probabilities are made where ``soft`` asks for them. ``group_of_N`` (N,) has
    the group 0..G-1 of each frame, where there are any. ``beat`` is called after each batch.

    Raises:
        DoesNotFitError: Memory is too small for a single frame.
        ProblemsError: The package that brings the score is not installed.
    """

    together_N = np.zeros(len(images_NHWC), dtype=np.int64)
    groups_N = together_N if group_of_N is None else group_of_N
    groups = int(groups_N.max(initial=0)) + 1

    def measured(part: slice, logits_BKHW: Tensor) -> tuple[np.ndarray, float, SoftSums | None]:
        masks_BHW = masks_on(device, masks_NHW[part])
        part_loss = float(loss(logits_BKHW, masks_BHW.long())) if loss else math.nan
        part_soft = soft_sums(logits_BKHW, masks_BHW, spec) if soft else None
        part_GKK = part_confusions_GKK(logits_BKHW, masks_BHW, spec, groups_N[part], groups)
        return part_GKK, part_loss, part_soft

    scoring = spec.scoring
    total_GKK = np.zeros((groups, spec.num_classes, spec.num_classes), dtype=np.int64)
    total = 0.0
    sums = no_soft_sums(spec.num_classes) if soft else None
    for part, (part_GKK, part_loss, part_soft) in passes(
        segmenter, images_NHWC, spec, measured, device=device
    ):
        total_GKK += part_GKK
        total += part_loss * (part.stop - part.start)
        if sums and part_soft:
            sums += part_soft
        beat()
    mean = total / len(images_NHWC) if len(images_NHWC) else math.nan
    return Evaluation(total_GKK, scoring, mean, sums)


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
