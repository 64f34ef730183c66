"""Validation: the one function behind an epoch's score, the final score and the check of
an export.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from objectives.beat import Beat, unheard
from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.device.transfer import fetched, sent
from objectives.program.segmenter import predict_labels
from objectives.scoring.boundary import Contours
from objectives.scoring.metrics import iou_K
from objectives.scoring.passes import Part, passes, unseen
from objectives.scoring.soft import SoftSums
from objectives.scoring.tally import Tally, groups_on, masks_on
from objectives.statistics.scores import Scoring
from objectives.windows.layout import Corner, cut

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of frames, all from one confusion matrix over the whole set.

    ``confusions_GKK`` int64 are those of G groups of frames: rows are true labels, columns predicted
    ones, in pixels; ignored pixels are in none. ``loss`` is the mean over frames of that of each
    batch, NaN where none was asked for, and ``soft`` has the sums of probabilities, where they were.
    ``contours_GLL`` are of the pixels near contours, see `boundary_confusion_LL`, where the score goes
    by these.
    """

    confusions_GKK: np.ndarray
    scoring: Scoring
    loss: float = math.nan
    soft: SoftSums | None = None
    contours_GLL: np.ndarray | None = None

    @property
    def matrices(self) -> tuple[np.ndarray, ...]:
        """The confusion matrices of all pixels and, where the score goes by them, of those near contours."""
        return (self.confusions_GKK, *([] if self.contours_GLL is None else [self.contours_GLL]))

    @property
    def judged_GKK(self) -> np.ndarray:
        """The confusion matrices that the score is made of."""
        return self.matrices[-1]

    @property
    def confusion_KK(self) -> np.ndarray:
        """The confusion matrix (K, K) over the whole set."""
        return np.asarray(self.confusions_GKK.sum(axis=0))

    @property
    def score(self) -> float:
        """What the study's score is of the whole set, in 0..1."""
        return self.scoring.of(self.judged_GKK.sum(axis=0))

    @property
    def measured(self) -> np.ndarray:
        """The measure of each class (K,), scored or not, NaN where a class does not occur."""
        classes = self.confusions_GKK.shape[-1]
        return self.scoring.by_class(self.judged_GKK.sum(axis=0))[:classes]

    @property
    def iou(self) -> np.ndarray:
        """IoU per class (K,), NaN where a class does not occur."""
        return iou_K(self.confusion_KK)


@dataclass(frozen=True)
class Beside:
    """What is summed beside the counts: a ``loss`` of what the model sees at once, logits (B, K, H, W)
    and masks (B, H, W) int64, and the sums of probabilities where they are asked for.
    """

    loss: Criterion | None = None
    soft: bool = False


COUNTS = Beside()


def evaluate(
    segmenter: nn.Module,
    images: Frames,
    masks: Frames,
    spec: FrameSpec,
    *,
    device: torch.device,
    beat: Beat = unheard,
    beside: Beside = COUNTS,
    group_of_N: npt.NDArray[np.integer] | None = None,
) -> Evaluation:
    """Score a model on labelled frames (H, W, C) and masks (H, W) in fp32; leaves it in
    evaluation mode.

    ``group_of_N`` (N,) has the group 0..G-1 of each frame, where there are any. ``beat`` is called after
    each batch.

    Raises:
        DoesNotFitError: Memory is too small for a single frame.
        ProblemsError: The package that brings the score is not installed.
    """

    together_N = np.zeros(len(images), dtype=np.int64)
    groups_N = together_N if group_of_N is None else group_of_N
    groups = int(groups_N.max(initial=0)) + 1
    losses = Losses(beside.loss, masks, spec, device)
    tally = Tally(spec, groups, beside.soft)
    on_device_N = groups_on(device, groups_N)
    scoring = spec.scoring
    contours = Contours(masks, spec, groups_N, groups) if scoring.boundary else None

    def measured(part: Part, logits_BKHW: Tensor) -> tuple[Tensor, np.ndarray | None]:
        masks_BHW = masks_on(device, part.of(masks))
        part_T = tally.of(logits_BKHW, masks_BHW, on_device_N[part.frames])
        return part_T, labels_of(logits_BKHW, spec) if contours else None

    found = passes(
        segmenter,
        images,
        spec,
        measured,
        device=device,
        beat=beat,
        seen=losses.add if beside.loss else unseen,
    )
    total_T = sent(torch.from_numpy(tally.nothing), device)
    for part, (part_T, labels_BHW) in found:  # a batch that is repeated in halves counts once
        total_T = total_T + part_T
        if contours and labels_BHW is not None:
            contours.add(part, labels_BHW)
    # the one time that the device is waited for
    numbers = fetched({"total": total_T, "losses": losses.means_L})
    confusions_GKK, sums = tally.read(numbers["total"].numpy())
    contours_GLL = contours.by_group_GLL if contours else None
    mean_loss = losses.mean_of(numbers["losses"].numpy())
    return Evaluation(confusions_GKK, scoring, mean_loss, sums, contours_GLL)


class Losses:
    """The mean of a loss over all that a model has seen: frames, or windows of them."""

    def __init__(
        self, loss: Criterion | None, masks: Frames, spec: FrameSpec, device: torch.device
    ) -> None:
        self.loss = loss
        self.masks = masks
        self.spec = spec
        self.device = device
        # by where a batch begins: one that memory was too small for is repeated from there in parts
        self.found: dict[tuple[int, Corner], tuple[Tensor, int]] = {}

    def add(self, corners: Sequence[tuple[int, Corner]], logits_BKhw: Tensor) -> None:
        """Take a batch in; what reaches beyond a frame is ignored, or its mirror image where nothing is."""
        assert self.loss
        size = self.spec.height, self.spec.width
        masks_Bhw = np.stack(
            [
                cut(self.masks[frame], corner, *size, fill=self.spec.ignore_label)
                for frame, corner in corners
            ]
        )
        mean = self.loss(logits_BKhw, masks_on(self.device, masks_Bhw).long())
        self.found[corners[0]] = mean.detach().double(), len(corners)

    @property
    def means_L(self) -> Tensor:
        """The loss of each batch (L,), on the device."""
        empty = torch.empty(0, dtype=torch.float64, device=self.device)
        return torch.stack([mean for mean, _ in self.found.values()]) if self.found else empty

    def mean_of(self, means_L: npt.NDArray[np.float64]) -> float:
        """Return their mean over all that was seen, NaN of nothing."""
        counts_L = [count for _, count in self.found.values()]
        return float(np.average(means_L, weights=counts_L)) if counts_L else math.nan


def labels_of(logits_BKHW: Tensor, spec: FrameSpec) -> np.ndarray:
    """Return labels uint8 (B, H, W) on the host."""
    return np.asarray(predict_labels(logits_BKHW, spec).to(torch.uint8).cpu())


def predict(
    segmenter: nn.Module, images: Frames, spec: FrameSpec, *, device: torch.device
) -> list[np.ndarray]:
    """Labels uint8 (H, W) of each of some raw frames (H, W, C); leaves the model in evaluation mode.

    Raises:
        DoesNotFitError: Memory is too small for a single frame.
    """

    def labels(_: Part, logits_BKHW: Tensor) -> np.ndarray:
        return labels_of(logits_BKHW, spec)

    found: list[np.ndarray] = []
    for part, labels_BHW in passes(segmenter, images, spec, labels, device=device):
        if part.begins:
            found += list(labels_BHW)
        else:
            found[-1] = np.concatenate([found[-1], labels_BHW[0]])
    return found
