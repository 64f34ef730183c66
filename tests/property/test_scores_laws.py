"""Laws of the scores of classes and of the calibration error, over drawn masks and
probabilities.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from objectives.scoring.calibration import Calibration
from objectives.scoring.metrics import confusion_KK
from objectives.statistics.scores import ClassScores, Scoring, class_scores, iou, recall

Mask = npt.NDArray[np.uint8]
CLASSES = 4
FRACTIONS = ("iou", "precision", "recall", "dice")
shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
pairs = shapes.flatmap(
    lambda shape: st.tuples(*[arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1))] * 2)
)
ignores = st.sampled_from([None, 0, 2])
laws = settings(max_examples=100, deadline=None)
tops = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), max_size=60)


def plain_scores(predicted: Mask, target: Mask, ignore_label: int | None) -> ClassScores:
    """Pixel by pixel, from sets of pixels."""
    seen = target != (-1 if ignore_label is None else ignore_label)
    columns: dict[str, list[float]] = {name: [] for name in (*FRACTIONS, "support")}
    for label in range(CLASSES):
        here = set(zip(*np.nonzero((target == label) & seen), strict=True))
        said = set(zip(*np.nonzero((predicted == label) & seen), strict=True))
        both = len(here & said)
        known = bool(here)
        columns["iou"].append(both / len(here | said) if known else np.nan)
        columns["precision"].append((both / len(said) if said else 0.0) if known else np.nan)
        columns["recall"].append((both / len(here) if here else 0.0) if known else np.nan)
        columns["dice"].append(2 * both / (len(here) + len(said)) if known else np.nan)
        columns["support"].append(len(here))
    return ClassScores(**{name: np.array(values) for name, values in columns.items()})


@laws
@given(pair=pairs, ignore_label=ignores)
def test_scores_equal_the_plain_ones(pair: tuple[Mask, Mask], ignore_label: int | None) -> None:
    ours, plain = (
        class_scores(confusion_KK(*pair, CLASSES, ignore_label)),
        plain_scores(*pair, ignore_label),
    )
    for name in (*FRACTIONS, "support"):
        np.testing.assert_allclose(getattr(ours, name), getattr(plain, name), rtol=1e-12)


@laws
@given(pair=pairs, ignore_label=ignores)
def test_dice_and_iou_determine_each_other_and_dice_is_the_harmonic_mean(
    pair: tuple[Mask, Mask], ignore_label: int | None
) -> None:
    scores = class_scores(confusion_KK(*pair, CLASSES, ignore_label))
    np.testing.assert_allclose(scores.dice, 2 * scores.iou / (1 + scores.iou), rtol=1e-12)
    found = scores.precision + scores.recall > 0
    harmonic = (
        2
        * scores.precision[found]
        * scores.recall[found]
        / (scores.precision + scores.recall)[found]
    )
    np.testing.assert_allclose(scores.dice[found], harmonic, rtol=1e-12)


@laws
@given(pair=pairs, ignore_label=ignores)
def test_exchanging_truth_and_prediction_exchanges_precision_and_recall(
    pair: tuple[Mask, Mask], ignore_label: int | None
) -> None:
    confusion = confusion_KK(*pair, CLASSES, ignore_label)
    scores, turned = class_scores(confusion), class_scores(confusion.T)
    both = (scores.support > 0) & (turned.support > 0)  # a class that does not occur has no score
    np.testing.assert_array_equal(scores.precision[both], turned.recall[both])
    np.testing.assert_array_equal(scores.dice[both], turned.dice[both])


@laws
@given(pair=pairs, ignore_label=ignores, axes=st.sets(st.integers(0, 2)))
def test_flipping_frames_and_masks_changes_nothing(
    pair: tuple[Mask, Mask], ignore_label: int | None, axes: set[int]
) -> None:
    flipped = [np.flip(mask, tuple(axes)) for mask in pair]
    ours, theirs = (
        class_scores(confusion_KK(*masks, CLASSES, ignore_label)) for masks in (pair, flipped)
    )
    for name in (*FRACTIONS, "support"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@laws
@given(pair=pairs, scored=st.lists(st.integers(0, CLASSES - 1), min_size=1, unique=True))
def test_the_mean_is_over_the_classes_that_occur_whatever_is_predicted(
    pair: tuple[Mask, Mask], scored: list[int]
) -> None:
    confusion = confusion_KK(*pair, CLASSES, None)
    there = [label for label in scored if (pair[1] == label).any()]
    ious = class_scores(confusion).iou[there]
    np.testing.assert_allclose(
        Scoring(tuple(scored)).of(confusion), ious.mean() if there else np.nan
    )


@laws
@given(pair=pairs, weights=st.dictionaries(st.integers(0, CLASSES - 1), st.floats(1e-3, 1e3)))
def test_a_score_is_what_a_loop_over_its_classes_gives(
    pair: tuple[Mask, Mask], weights: dict[int, float]
) -> None:
    confusion = confusion_KK(*pair, CLASSES, None)
    counting = weights or dict.fromkeys(range(CLASSES), 1.0)
    there = [label for label in counting if (pair[1] == label).any()]
    of = {}
    for label in there:
        here, said = pair[1] == label, pair[0] == label
        of[label] = float(here[said].sum()) / float(here.sum())
    scoring = Scoring(tuple(range(CLASSES)), recall, tuple(weights.items()))
    total = sum(counting[label] for label in there)
    mean = sum(counting[label] * of[label] for label in there) / total if there else np.nan
    np.testing.assert_allclose(scoring.of(confusion), mean, rtol=1e-9)
    least = replace(scoring, together="least").of(confusion)
    np.testing.assert_allclose(least, min(of.values(), default=np.nan))


@laws
@given(
    pairs=st.lists(pairs, min_size=1, max_size=4),
    least=st.booleans(),
    order=st.permutations(range(CLASSES)),
)
def test_scores_of_many_matrices_at_once_are_those_of_each(
    pairs: list[tuple[Mask, Mask]], least: bool, order: list[int]
) -> None:
    scoring = Scoring((3, 1, 2), iou, ((2, 2.0), (3, 0.5)), "least" if least else "mean")
    stack = np.stack([confusion_KK(*pair, CLASSES, None) for pair in pairs])
    found = scoring.over(class_scores(stack).iou)
    np.testing.assert_array_equal(found, [scoring.of(confusion) for confusion in stack])
    # the scored classes alone, as an ensemble's choice has them
    inside = class_scores(stack).iou[:, [3, 1, 2]]
    np.testing.assert_array_equal(scoring.renumbered().over(inside), found)
    # classes have no order
    moved = replace(
        scoring, scored=(order[3], order[1], order[2]), weights=((order[2], 2.0), (order[3], 0.5))
    )
    back = np.argsort(order)
    np.testing.assert_array_equal(moved.over(class_scores(stack).iou[:, back]), found)


@laws
@given(pixels=tops, cut=st.integers(0, 60), bins=st.integers(1, 20))
def test_calibration_adds_up_and_its_error_stays_in_range(
    pixels: list[tuple[float, bool]], cut: int, bins: int
) -> None:
    confidence = np.array([top for top, _ in pixels], dtype=np.float64)
    correct = np.array([right for _, right in pixels], dtype=bool)
    whole = Calibration.of(confidence, correct, bins)
    parts = Calibration.of(confidence[:cut], correct[:cut], bins) + Calibration.of(
        confidence[cut:], correct[cut:], bins
    )
    np.testing.assert_array_equal(whole.pixels_M, parts.pixels_M)
    np.testing.assert_array_equal(whole.correct_M, parts.correct_M)
    np.testing.assert_allclose(whole.confidence_M, parts.confidence_M, rtol=1e-9, atol=1e-12)
    assert whole.pixels_M.sum() == len(pixels)
    if pixels:
        # never below the distance of the whole (one bin), by the triangle inequality
        assert abs(correct.mean() - confidence.mean()) - 1e-9 <= whole.error <= 1 + 1e-9
