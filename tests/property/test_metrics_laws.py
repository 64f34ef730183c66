"""Laws of the score, over drawn masks."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from objectives.scoring.metrics import confusion_KK, iou_K
from objectives.statistics.scores import Scoring

Mask = npt.NDArray[np.uint8]
CLASSES = 5
shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
pairs = shapes.flatmap(
    lambda shape: st.tuples(*[arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1))] * 2)
)
ignores = st.sampled_from([None, 0, 2, CLASSES - 1])
laws = settings(max_examples=100, deadline=None)


def plain_mean_iou(
    predicted: Mask, target: Mask, ignore_label: int | None, scored: list[int]
) -> float:
    seen = target != (-1 if ignore_label is None else ignore_label)
    found = []
    for label in scored:
        here, said = (target == label) & seen, (predicted == label) & seen
        union = (here | said).sum()
        if here.any():
            found.append((here & said).sum() / union)
    return sum(found) / len(found) if found else math.nan


@laws
@given(
    pair=pairs,
    ignore_label=ignores,
    scored=st.lists(st.integers(0, CLASSES - 1), min_size=1, unique=True),
)
def test_the_score_equals_the_plain_one(
    pair: tuple[Mask, Mask], ignore_label: int | None, scored: list[int]
) -> None:
    score = Scoring(tuple(scored)).of(confusion_KK(*pair, CLASSES, ignore_label))
    np.testing.assert_allclose(score, plain_mean_iou(*pair, ignore_label, scored), rtol=1e-12)


@laws
@given(pair=pairs, ignore_label=ignores, axes=st.sets(st.integers(0, 2)))
def test_flipping_prediction_and_mask_changes_nothing(
    pair: tuple[Mask, Mask], ignore_label: int | None, axes: Any
) -> None:
    flipped = [np.flip(mask, tuple(axes)) for mask in pair]
    np.testing.assert_array_equal(
        confusion_KK(*flipped, CLASSES, ignore_label), confusion_KK(*pair, CLASSES, ignore_label)
    )


@laws
@given(pair=pairs, ignore_label=ignores)
def test_frames_add_up_and_every_labelled_pixel_is_counted_once(
    pair: tuple[Mask, Mask], ignore_label: int | None
) -> None:
    whole = confusion_KK(*pair, CLASSES, ignore_label)
    by_frame = [
        confusion_KK(predicted, target, CLASSES, ignore_label)
        for predicted, target in zip(*pair, strict=True)
    ]
    np.testing.assert_array_equal(sum(by_frame), whole)
    assert whole.sum() == (pair[1] != (-1 if ignore_label is None else ignore_label)).sum()


@laws
@given(pair=pairs, ignore_label=ignores)
def test_torch_agrees_and_fractions_stay_in_range(
    pair: tuple[Mask, Mask], ignore_label: int | None
) -> None:
    confusion = confusion_KK(*pair, CLASSES, ignore_label)
    np.testing.assert_array_equal(
        confusion_KK(*map(torch.from_numpy, pair), CLASSES, ignore_label).numpy(), confusion
    )
    fractions = iou_K(confusion)
    known = fractions[~np.isnan(fractions)]
    assert ((known >= 0) & (known <= 1)).all()


@laws
@given(mask=pairs.map(lambda pair: pair[0]))
def test_a_perfect_prediction_scores_one(mask: Mask) -> None:
    assert Scoring(tuple(range(CLASSES))).of(confusion_KK(mask, mask, CLASSES, None)) == 1.0
