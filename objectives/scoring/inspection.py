"""All that one pass over labelled frames tells of a model: confusion by group, score by frame,
calibration.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.program.segmenter import at_size, predict_labels, scored_on, scored_probabilities
from objectives.scoring.boundary import Contours
from objectives.scoring.calibration import Calibration
from objectives.scoring.evaluate import Evaluation, labels_of
from objectives.scoring.metrics import confusion_KK
from objectives.scoring.passes import Part, passes
from objectives.statistics.scores import ClassScores, Fractions, Scoring, class_scores

Frame = tuple[npt.NDArray[np.int64], Calibration]  # confusion matrix (K, K) and calibration


@dataclass(frozen=True)
class Inspection:
    """What a pass over N frames of G groups gave; pixels with the ignored label are in none of it.

    ``confusions_GKK`` are in the order of ``groups_G``, which is sorted: rows are true labels,
    columns predicted ones.
    """

    groups_G: npt.NDArray[np.integer]
    confusions_GKK: npt.NDArray[np.int64]
    # see `Scoring.of`; NaN for a frame without a class that counts
    frame_scores_N: npt.NDArray[np.float64]
    calibration: Calibration
    scoring: Scoring
    contours_GLL: npt.NDArray[np.int64] | None = None  # see `Evaluation`

    @property
    def evaluation(self) -> Evaluation:
        """The score over all frames, as `evaluate` gives it."""
        return Evaluation(self.confusions_GKK, self.scoring, contours_GLL=self.contours_GLL)

    @property
    def classes(self) -> ClassScores:
        """The scores of each class over all frames, arrays (K,)."""
        return class_scores(self.evaluation.confusion_KK)

    @property
    def measured_K(self) -> Fractions:
        """The measure of each class that the score is made of, (K,); NaN where it does not occur."""
        return self.evaluation.measured

    def worst(self, count: int) -> tuple[int, ...]:
        """Return the positions of at most ``count`` frames with the lowest scores, the lowest
        first; of equals the earlier first.
        """
        order = np.argsort(self.frame_scores_N, kind="stable")  # NaN come last
        return tuple(
            position
            for position in order[:count].tolist()
            if not np.isnan(self.frame_scores_N[position])
        )


def inspect_frames(
    segmenter: nn.Module,
    images: Frames,
    masks: Frames,
    spec: FrameSpec,
    *,
    groups_N: npt.NDArray[np.integer],
    device: torch.device,
) -> Inspection:
    """Inspect a model on labelled frames (H, W, C) and masks (H, W), in fp32; leaves it in
    evaluation mode.

    ``groups_N`` is the place (or another group) of each frame, any integers: its number gives a
    confusion matrix to each frame. Frames are read few at a time, so that a map of any length will
    do. Where a mask has another size than its frame, the frame's logits are resized to it, as those
    of predictions are.
    """
    groups_G, group_of_N = np.unique(groups_N, return_inverse=True)
    confusions_GKK = np.zeros((len(groups_G), spec.num_classes, spec.num_classes), dtype=np.int64)
    scoring = spec.scoring
    contours = Contours(masks, spec, group_of_N, len(groups_G)) if scoring.boundary else None
    frame_KK = np.zeros((spec.num_classes, spec.num_classes), np.int64)  # of the last frame so far
    scores: list[float] = []
    calibration = Calibration.nothing()

    def inspected(part: Part, logits_BKHW: Tensor) -> list[tuple[Frame, np.ndarray]]:
        return [
            _inspected(logits_KHW, masks[number][part.rows or slice(None)], spec)
            for number, logits_KHW in zip(part.numbers, logits_BKHW, strict=True)
        ]

    for part, frames in passes(segmenter, images, spec, inspected, device=device):
        for number, ((counts_KK, more), _) in zip(part.numbers, frames, strict=True):
            if part.begins:
                frame_KK = np.zeros_like(frame_KK)
                scores.append(math.nan)
            frame_KK += counts_KK
            scores[number] = scoring.of(frame_KK)  # of a boundary score, until the frame is whole
            confusions_GKK[group_of_N[number]] += counts_KK
            calibration += more
        if contours and (whole := contours.add(part, [labels_HW for _, labels_HW in frames])):
            scores[-len(whole) :] = map(scoring.of, whole)
    assert len(scores) == len(groups_N), (
        f"{len(scores)} frames, {len(groups_N)} of them with a group"
    )
    contours_GLL = contours.by_group_GLL if contours else None
    return Inspection(
        groups_G, confusions_GKK, np.array(scores), calibration, scoring, contours_GLL
    )


def _inspected(
    logits_KHW: Tensor, mask_HW: np.ndarray, spec: FrameSpec
) -> tuple[Frame, np.ndarray]:
    """Return what a frame, or rows of it, give at the size of its mask, and the predicted labels."""
    height, width = mask_HW.shape
    sized_KHW = at_size(logits_KHW, (height, width))
    return inspect_logits(sized_KHW, mask_HW, spec), labels_of(sized_KHW[None], spec)[0]


def inspect_logits(logits_KHW: Tensor, mask_HW: np.ndarray, spec: FrameSpec) -> Frame:
    """Return one frame's confusion matrix (K, K) and calibration, from its logits on any device.

    Calibration counts the pixels whose true label is scored: probabilities are shared out among the
    scored classes alone (see `top_probability`), so that they say nothing of a pixel that is of
    another class.
    """
    labels_HW = predict_labels(logits_KHW[None], spec)[0]
    # a copy: maps are read-only
    target_HW = torch.from_numpy(np.array(mask_HW)).to(logits_KHW.device)
    counts_KK = (
        confusion_KK(labels_HW, target_HW, spec.num_classes, spec.ignore_label).cpu().numpy()
    )
    judged = torch.tensor(
        [label for label in spec.scored if label != spec.ignore_label], device=logits_KHW.device
    )
    judged_HW = torch.isin(target_HW, judged)
    top = top_probability(logits_KHW[None], spec)[0][judged_HW]
    right = (labels_HW == target_HW)[judged_HW]
    return counts_KK, Calibration.of(top.cpu().numpy(), right.cpu().numpy())


def top_probability(logits_BKHW: Tensor, spec: FrameSpec) -> Tensor:
    """Return the probability (B, H, W) of the label that `predict_labels` gives: its softmax among
    the scored classes.

    It is the probability of the class given that the pixel is of a scored one: classes that are
    never scored are never predicted, have no share in it, and what the network gives them does not
    count. The ONNX program computes the same.
    """
    return scored_probabilities(logits_BKHW, scored_on(logits_BKHW.device, spec)).amax(dim=1)
