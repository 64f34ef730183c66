"""Validation: the one function behind an epoch's score, the final score and the check of an export."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from objectives.data.spec import FrameSpec
from objectives.metrics import confusion_KK, iou_K, mean_iou
from objectives.segmenter import Segmenter, predict_labels

PIXELS = 64 * 64 * 128  # scored at once; no batch statistics are used, so it changes nothing but memory


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of frames, all from one confusion matrix over the whole set.

    ``confusion_KK`` int64: rows are true labels, columns predicted ones, in pixels; ignored pixels are not in it.
    """

    confusion_KK: np.ndarray
    scored: tuple[int, ...]

    @property
    def score(self) -> float:
        """Mean IoU over the scored classes that occur, in 0..1."""
        return mean_iou(self.confusion_KK, self.scored)

    @property
    def iou(self) -> np.ndarray:
        """IoU per class (K,), NaN where a class neither occurs nor is predicted."""
        return iou_K(self.confusion_KK)


def evaluate(
    segmenter: Segmenter, images_NHWC: np.ndarray, masks_NHW: np.ndarray, spec: FrameSpec, *, device: torch.device
) -> Evaluation:
    """Score a model on labelled frames (N, H, W, C) and masks (N, H, W) in fp32; leaves it in evaluation mode."""
    batch = frames_at_once(spec.height, spec.width)
    total_KK = np.zeros((spec.num_classes, spec.num_classes), dtype=np.int64)
    for start in range(0, len(images_NHWC), batch):
        labels_BHW = _labels_BHW(segmenter, images_NHWC[start : start + batch], spec, device)
        masks_BHW = torch.from_numpy(np.array(masks_NHW[start : start + batch])).to(device)  # a copy: maps are read-only
        total_KK += np.asarray(confusion_KK(labels_BHW, masks_BHW, spec.num_classes, spec.ignore_label).cpu())
    return Evaluation(total_KK, spec.scored)


def predict(segmenter: Segmenter, images_NHWC: np.ndarray, spec: FrameSpec, *, device: torch.device) -> np.ndarray:
    """Labels uint8 (N, H, W) of raw frames (N, H, W, C); leaves the model in evaluation mode."""
    batch = frames_at_once(spec.height, spec.width)
    labels_NHW = np.zeros((len(images_NHWC), spec.height, spec.width), dtype=np.uint8)
    for start in range(0, len(images_NHWC), batch):
        labels_BHW = _labels_BHW(segmenter, images_NHWC[start : start + batch], spec, device)
        labels_NHW[start : start + batch] = labels_BHW.to(torch.uint8).cpu().numpy()
    return labels_NHW


def frames_at_once(height: int, width: int) -> int:
    """How many frames of a size to score at once: large ones are few, or scoring would need more memory than training."""
    return max(1, PIXELS // (height * width))


def pixels_BCHW(images_BHWC: np.ndarray) -> Tensor:
    """Raw frames (B, H, W, C) as a channels-last tensor (B, C, H, W): uint8, or float32 for wider pixels."""
    batch = np.array(images_BHWC, dtype=np.uint8 if images_BHWC.dtype == np.uint8 else np.float32)
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


@torch.inference_mode()
def _labels_BHW(segmenter: Segmenter, images_BHWC: np.ndarray, spec: FrameSpec, device: torch.device) -> Tensor:
    return predict_labels(segmenter.eval()(pixels_BCHW(images_BHWC).to(device)), spec)
