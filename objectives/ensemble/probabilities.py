"""What an ensemble's choice needs of each model: its probabilities on the labelled pixels, in one
pass over the frames.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.ensemble.library import Library
from objectives.ensemble.probability_codes import encode_probabilities
from objectives.program.segmenter import scored_on, scored_probabilities
from objectives.scoring.evaluate import Evaluation
from objectives.scoring.passes import Part, passes
from objectives.scoring.tally import Tally, masks_on

Codes = npt.NDArray[np.uint8]

MOST_BYTES = 2**31  # of all members' codes together, one byte for each class of a pixel


@dataclass(frozen=True)
class LabelledFrames:
    """Frames (H, W, C), masks (H, W) and places (N,), with the pixels on which members are
    compared.

    These are all labelled pixels or, where ``share`` is below 1, so many of them at random: the
    same for every member.
    """

    images: Frames
    masks: Frames
    groups_N: npt.NDArray[np.integer]
    spec: FrameSpec
    share: float = 1.0

    @property
    def places(self) -> int:
        """How many places the frames are of."""
        return len(np.unique(self.groups_N))

    def pixels(self, frame: int) -> npt.NDArray[np.integer]:
        """Places in the flattened mask of one frame; the same at each call."""
        labelled = np.ones(self.masks[frame].size, dtype=bool)
        if self.spec.ignore_label is not None:
            labelled = self.masks[frame].ravel() != self.spec.ignore_label
        if self.share < 1.0:
            labelled &= (
                np.random.default_rng(frame).random(labelled.size, dtype=np.float32) < self.share
            )
        return np.flatnonzero(labelled)

    def library(self, members: tuple[Codes, ...]) -> Library:
        """Return the library of members that were measured on these frames."""
        _, group_of_N = np.unique(self.groups_N, return_inverse=True)
        inside = [self.pixels(frame) for frame in range(len(self.masks))]
        labels = [self.masks[frame].ravel()[pixels] for frame, pixels in enumerate(inside)]
        places = np.repeat(group_of_N, [len(pixels) for pixels in inside])
        return Library(members, np.concatenate(labels), places, self.spec.scoring)


@dataclass(frozen=True)
class MeasuredMember:
    """One model's score on all frames, and its codes (P, K) on the pixels of the library; 0 for a
    class never scored.
    """

    evaluation: Evaluation
    codes_PK: Codes


def share_that_fits(
    masks: Frames, spec: FrameSpec, members: int, most_bytes: int = MOST_BYTES
) -> float:
    """Return the share of the labelled pixels of which the codes of so many members fit into
    memory; 1 for all.
    """
    labelled = sum(
        int((mask_HW != spec.ignore_label).sum()) if spec.ignore_label is not None else mask_HW.size
        for mask_HW in masks
    )
    return min(1.0, most_bytes / max(1, labelled * spec.num_classes * members))


def measure_member(
    segmenter: nn.Module, frames: LabelledFrames, *, device: torch.device
) -> MeasuredMember:
    """Score a model on frames, in fp32, and keep its probabilities; leaves it in evaluation mode.

    The probabilities are those that an ensemble averages: the softmax among the scored classes.
    """
    spec = frames.spec
    scored = scored_on(device, spec)

    tally = Tally(spec, groups=1, soft=False)

    def measured(part: Part, logits_BKHW: Tensor) -> tuple[np.ndarray, npt.NDArray[np.float32]]:
        masks_BHW = masks_on(device, part.of(frames.masks))
        together_B = torch.zeros(len(masks_BHW), dtype=torch.int64, device=device)
        counted_T = tally.of(logits_BKHW, masks_BHW, together_B)
        probable_BSP = scored_probabilities(logits_BKHW, scored).flatten(2)
        return counted_T.cpu().numpy(), probable_BSP.cpu().numpy()

    total_T = tally.nothing
    codes: list[Codes] = []
    for part, (counted_T, probable_BSP) in passes(
        segmenter, frames.images, spec, measured, device=device
    ):
        total_T += counted_T
        for frame, probable_SP in zip(part.numbers, probable_BSP, strict=True):
            inside = part.pixels(frames.pixels(frame), frames.masks[frame].shape)
            codes_PK = np.zeros((len(inside), spec.num_classes), dtype=np.uint8)
            codes_PK[:, list(spec.scored)] = encode_probabilities(probable_SP[:, inside].T)
            codes.append(codes_PK)
    confusions_1KK, _ = tally.read(total_T)
    return MeasuredMember(Evaluation(confusions_1KK, spec.scoring), np.concatenate(codes))
