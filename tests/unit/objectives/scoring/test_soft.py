"""Scores of probabilities, pixel by pixel in plain Python, and where they meet the scores of
labels.
"""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from objectives.data.spec import FrameSpec
from objectives.program.segmenter import predict_labels
from objectives.scoring.soft import SoftSums, soft_cells_KS
from objectives.scoring.tally import Tally
from tests.support.frame_specs import frame_spec

CLASSES = 4
IGNORED = 3


def spec_of(*, ignore_label: int | None = IGNORED, measure: str = "iou") -> FrameSpec:
    return frame_spec(
        (3, 5),
        ("ground", "sand", "rock", "unknown"),
        mean=(0.5,),
        std=(0.5,),
        ignore_label=ignore_label,
        scored=(1, 2),
        measure=measure,
    )


def drawn(seed: int, frames: int = 4, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    logits_BKHW = torch.from_numpy(random.normal(0, scale, (frames, CLASSES, 3, 5))).float()
    masks_BHW = torch.from_numpy(random.integers(0, CLASSES, (frames, 3, 5))).to(torch.uint8)
    return logits_BKHW, masks_BHW


def soft_sums(logits_BKHW: torch.Tensor, masks_BHW: torch.Tensor, spec: FrameSpec) -> SoftSums:
    return SoftSums.of(soft_cells_KS(logits_BKHW, masks_BHW, spec).numpy(), spec)


def by_hand(logits: np.ndarray, masks: np.ndarray, scored: tuple[int, ...]) -> tuple[float, float]:
    """Soft mean IoU and balanced -ln p, from one pixel after the other in float64."""
    hits, true, predicted, surprise = (dict.fromkeys(range(CLASSES), 0.0) for _ in range(4))
    for frame, mask in zip(logits, masks, strict=True):
        for place in np.ndindex(mask.shape):
            if mask[place] == IGNORED:
                continue
            powers = {label: math.exp(frame[label][place]) for label in scored}
            share = {label: power / sum(powers.values()) for label, power in powers.items()}
            true[mask[place]] += 1
            for label in scored:
                predicted[label] += share[label]
            if mask[place] in scored:
                hits[mask[place]] += share[mask[place]]
                surprise[mask[place]] -= math.log(share[mask[place]])
    there = [label for label in scored if true[label]]
    ious = [hits[k] / (true[k] + predicted[k] - hits[k]) for k in there]
    return sum(ious) / len(ious), sum(surprise[k] / true[k] for k in there) / len(there)


@pytest.mark.parametrize("seed", range(5))
def test_both_are_what_single_pixels_add_up_to(seed: int) -> None:
    logits_BKHW, masks_BHW = drawn(seed)
    spec = spec_of()
    parts = [
        soft_cells_KS(logits_BKHW[part], masks_BHW[part], spec)
        for part in (slice(1), slice(1, None))
    ]
    sums = SoftSums.of(sum(parts[1:], start=parts[0]).numpy(), spec)
    score, nll = by_hand(logits_BKHW.double().numpy(), masks_BHW.numpy(), spec.scored)
    assert sums.score(spec.scoring) == pytest.approx(score, abs=1e-6)
    assert sums.balanced_nll(spec.scoring) == pytest.approx(nll, abs=1e-6)


def test_the_score_of_probabilities_is_put_together_as_the_study_says() -> None:
    logits_BKHW, masks_BHW = drawn(3)
    alone = []
    for label in ("sand", "rock"):
        spec = spec_of(measure=f"recall:{label}")
        alone.append(soft_sums(logits_BKHW, masks_BHW, spec).score(spec.scoring))
    sums = soft_sums(logits_BKHW, masks_BHW, spec_of())
    weighted, least = (
        sums.score(spec_of(measure=measure).scoring)
        for measure in ("recall:sand=1,rock=4", "least-recall")
    )
    assert alone[0] != pytest.approx(alone[1])
    assert weighted == pytest.approx((alone[0] + 4 * alone[1]) / 5)
    assert least == min(alone)
    likely = logits_BKHW.double().numpy()[:, [1, 2]]
    shares = np.exp(likely) / np.exp(likely).sum(1, keepdims=True)
    masks = masks_BHW.numpy()
    assert alone[0] == pytest.approx(shares[:, 0][masks == 1].mean(), abs=1e-6)


def test_sure_predictions_score_as_their_labels() -> None:
    logits_BKHW, masks_BHW = drawn(0)
    spec = spec_of(measure="dice")
    labels_BHW = predict_labels(logits_BKHW, spec)
    sure_BKHW = 1e4 * functional.one_hot(labels_BHW, CLASSES).movedim(3, 1).float()
    sums = soft_sums(sure_BKHW, masks_BHW, spec)
    tally = Tally(spec, groups=1, soft=False)
    together_B = torch.zeros(len(masks_BHW), dtype=torch.int64)
    (confusion_KK,), _ = tally.read(tally.of(sure_BKHW, masks_BHW, together_B).numpy())
    assert sums.expected_KK == pytest.approx(confusion_KK)
    assert sums.score(spec.scoring) == pytest.approx(spec.scoring.of(confusion_KK))


def test_what_does_not_occur_is_in_no_mean() -> None:
    logits_BKHW, masks_BHW = drawn(1)
    spec = spec_of()
    masks_BHW[masks_BHW == 2] = IGNORED
    sums = soft_sums(logits_BKHW, masks_BHW, spec)
    score, nll = by_hand(logits_BKHW.double().numpy(), masks_BHW.numpy(), spec.scored)
    assert sums.score(spec.scoring) == pytest.approx(score, abs=1e-6)
    assert sums.balanced_nll(spec.scoring) == pytest.approx(nll, abs=1e-6)
    nothing = soft_sums(logits_BKHW, torch.full_like(masks_BHW, IGNORED), spec)
    assert math.isnan(nothing.score(spec.scoring))
    assert math.isnan(nothing.balanced_nll(spec.scoring))


def test_an_ignored_label_beyond_the_classes_is_left_out() -> None:
    logits_BKHW, masks_BHW = drawn(2)
    far_BHW = torch.where(masks_BHW == IGNORED, 255, masks_BHW)
    near = soft_sums(logits_BKHW, masks_BHW, spec_of())
    far = soft_sums(logits_BKHW, far_BHW, spec_of(ignore_label=None))
    assert far.expected_KK == pytest.approx(near.expected_KK)
