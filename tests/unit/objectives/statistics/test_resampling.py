"""Intervals from resampling places: against scipy's bootstrap, all resamples of few places, and
places of known truth.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.special import stdtrit

from objectives.statistics.interval import Interval, Unknown
from objectives.statistics.resampling import (
    Method,
    Resampled,
    Resampling,
    blocks_of,
    left_out_scores,
    score_covariances,
    score_interval,
)
from objectives.statistics.scores import Scoring, dice, recall

ALL = (0, 1, 2)
Counts = npt.NDArray[np.int64]


def some_places(places: int, seed: int, skill: float = 4.0) -> Counts:
    """Confusion matrices of places that differ in size, classes and how hard they are; the last
    class is rare.
    """
    generator = np.random.default_rng(seed)
    confusions_GKK = np.zeros((places, 3, 3), dtype=np.int64)
    for place in range(places):
        pixels = generator.multinomial(
            300 * generator.integers(1, 6), generator.dirichlet([6.0, 3.0, 0.3])
        )
        hit = generator.beta(skill * 2.0, 2.0)
        for label in range(3):
            chances = np.full(3, (1.0 - hit) / 2.0)
            chances[label] = hit
            confusions_GKK[place, label] = generator.multinomial(pixels[label], chances)
    return confusions_GKK


def plain_mean_iou(confusions_GKK: Counts, scored: tuple[int, ...] = ALL) -> float:
    total = confusions_GKK.sum(axis=0)
    unions = [total[k].sum() + total[:, k].sum() - total[k, k] for k in scored]
    found = [total[k, k] / union for k, union in zip(scored, unions, strict=True) if union]
    return float(np.mean(found)) if found else float("nan")


def interval(resampled: Resampled) -> Interval:
    assert isinstance(resampled.interval, Interval), resampled
    return resampled.interval


def test_the_value_is_the_score_of_all_places_and_classes_follow_the_mean() -> None:
    confusions_GKK = some_places(12, 0)
    found = score_interval(confusions_GKK, Scoring((0, 2)))
    assert found.mean.value == pytest.approx(plain_mean_iou(confusions_GKK, (0, 2)), abs=1e-12)
    assert [each.value for each in found.classes] == pytest.approx(
        [plain_mean_iou(confusions_GKK, (k,)) for k in ALL]
    )
    assert found.places == 12


def test_another_measure_moves_the_mean_and_leaves_the_classes_their_iou() -> None:
    confusions_GKK = some_places(12, 0)
    by_iou = score_interval(confusions_GKK, Scoring(ALL))
    by_dice = score_interval(confusions_GKK, Scoring(ALL, dice))
    ious = [each.value for each in by_iou.classes]
    assert by_dice.mean.value == pytest.approx(np.mean([2 * iou / (1 + iou) for iou in ious]))
    assert by_dice.classes == by_iou.classes
    assert interval(by_dice.mean).low > interval(by_iou.mean).low


@pytest.mark.parametrize(
    ("method", "scipy_name"), [(Method.BCA, "BCa"), (Method.PERCENTILE, "percentile")]
)
def test_intervals_are_those_of_scipy_once_its_level_is_widened_as_ours(
    method: Method, scipy_name: str
) -> None:
    places = 25
    confusions_GKK = some_places(places, 3)
    confusions_GKK[0] *= 6  # one large place: a skewed score
    wider = 2.0 * stats.norm.cdf(np.sqrt(places / (places - 1)) * stdtrit(places - 1, 0.95)) - 1.0
    theirs = stats.bootstrap(
        (np.arange(places),), lambda drawn: plain_mean_iou(confusions_GKK[drawn]), confidence_level=wider, method=scipy_name,
        n_resamples=20_000, vectorized=False, rng=np.random.default_rng(0),
    )  # fmt: skip
    ours = interval(
        score_interval(
            confusions_GKK, Scoring(ALL), Resampling(level=0.9, resamples=40_000, method=method)
        ).mean
    )
    # standard error of a 4 % quantile of 20,000 about normal draws: 0.016 of their deviation, and
    # of our 40,000: 0.011
    tolerance = 4.0 * 0.02 * theirs.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=tolerance)


def test_percentiles_are_those_of_all_resamples_of_six_places() -> None:
    confusions_GKK = some_places(6, 1)
    held = (0, 1)  # by each place
    every = np.array(
        [plain_mean_iou(confusions_GKK[list(drawn)], held) for drawn in product(range(6), repeat=6)]
    )
    reach = np.sqrt(6 / 5) * stdtrit(5, 0.75)
    found = interval(
        score_interval(
            confusions_GKK, Scoring(held), Resampling(0.5, 40_000, Method.PERCENTILE)
        ).mean
    )
    around = [
        (np.quantile(every, stats.norm.cdf(side * reach) + shift))
        for side in (-1, 1)
        for shift in (-0.01, 0.01)
    ]
    assert around[0] <= found.low <= around[1]
    assert around[2] <= found.high <= around[3]


@pytest.mark.parametrize("holders", [1, 2, 3, 10])
def test_a_mean_is_never_that_of_other_classes(holders: int) -> None:
    """Nothing is told where a class is often absent from the resamples; where it seldom is, the
    interval lies below 3/4.

    The model never finds the last of four classes, so no mean over all of them lies higher.
    """
    confusions_GKK = np.zeros((20, 4, 4), dtype=np.int64)
    generator = np.random.default_rng(0)
    for label in range(3):
        confusions_GKK[:, label, label] = generator.integers(90, 100, 20)
        confusions_GKK[:, label, (label + 1) % 3] = generator.integers(0, 10, 20)
    confusions_GKK[:holders, 3, 0] = 5
    found = score_interval(confusions_GKK, Scoring((0, 1, 2, 3))).mean
    assert found.absent == pytest.approx((1 - holders / 20) ** 20, abs=0.03)
    if holders < 3:
        assert found.interval == Unknown(
            f"label 3 lies in {holders} of 20 places, too few to tell how they differ"
        )
    else:
        assert 0.5 < interval(found).low < found.value < interval(found).high <= 0.75


@pytest.mark.parametrize("places", [2, 3, 5])
def test_few_places_have_no_interval(places: int) -> None:
    """Simulated, theirs held the truth in 53, 75 and 92 % of cases where they said 95."""
    found = score_interval(some_places(places, 3), Scoring(ALL))
    assert found.mean.interval == Unknown(
        f"{places} places: too few to tell how places differ, 6 are needed"
    )
    assert isinstance(score_interval(some_places(6, 3), Scoring(ALL)).mean.interval, Interval)


def test_a_class_of_one_place_is_often_absent() -> None:
    common, rare = np.zeros((10, 3, 3), dtype=np.int64), np.zeros((10, 3, 3), dtype=np.int64)
    common[:, 0, 0], common[:, 0, 1], common[:, 1, 1] = np.arange(60, 70), 10, 30
    rare[0, 2] = (90, 0, 10)
    found = score_interval(common + rare, Scoring(ALL), Resampling(method=Method.PERCENTILE))
    assert found.classes[2].absent == pytest.approx(0.9**10, abs=0.04)
    assert found.classes[0].absent == 0.0
    assert found.mean.absent == found.classes[2].absent
    # no width: one place, and its own errors
    assert interval(found.classes[2]).high == pytest.approx(found.classes[2].value)


def test_without_two_places_or_the_class_there_is_no_interval() -> None:
    one = score_interval(some_places(1, 0), Scoring(ALL))
    assert isinstance(one.mean.interval, Unknown)
    assert "one place" in one.mean.interval.reason
    without = some_places(7, 0)
    without[:, 2, :], without[:, :, 2] = 0, 0
    found = score_interval(without, Scoring(ALL))
    assert np.isnan(found.classes[2].value)
    assert isinstance(found.classes[2].interval, Unknown)
    assert isinstance(score_interval(without, Scoring((2,))).mean.interval, Unknown)
    assert isinstance(found.mean.interval, Interval)


def test_the_seed_decides_and_more_certainty_is_wider() -> None:
    confusions_GKK = some_places(20, 2)
    how = Resampling(resamples=500)
    assert score_interval(confusions_GKK, Scoring(ALL), how) == score_interval(
        confusions_GKK, Scoring(ALL), how
    )
    first = interval(score_interval(confusions_GKK, Scoring(ALL), how).mean)
    other = interval(score_interval(confusions_GKK, Scoring(ALL), replace(how, seed=1)).mean)
    half = interval(score_interval(confusions_GKK, Scoring(ALL), replace(how, level=0.5)).mean)
    assert first != other
    assert first.low < half.low < half.high < first.high


@pytest.mark.parametrize("method", list(Method))
def test_intervals_cover_the_score_of_all_places_about_as_often_as_they_say(method: Method) -> None:
    population = some_places(4000, 100)
    truth, generator, repeats = plain_mean_iou(population), np.random.default_rng(7), 400
    covered = 0
    for seed in range(repeats):
        drawn = population[generator.integers(0, len(population), 60)]
        found = interval(
            score_interval(drawn, Scoring(ALL), Resampling(0.9, 500, method, seed)).mean
        )
        covered += found.low <= truth <= found.high
    error = np.sqrt(0.9 * 0.1 / repeats)  # of the simulation
    # 0.03: skewed scores of 60 places, not more
    assert 0.9 - 0.03 - 3 * error < covered / repeats < 0.9 + 3 * error


def test_covariances_of_scores_are_those_of_leaving_out_each_place() -> None:
    models = np.stack([some_places(9, seed) for seed in (1, 2, 3)])
    found = score_covariances(models, Scoring(ALL))
    left_out = np.array(
        [[plain_mean_iou(np.delete(each, place, axis=0)) for place in range(9)] for each in models]
    )
    np.testing.assert_allclose(found, np.cov(left_out, bias=True) * 8, rtol=1e-9)
    # three models of one: no difference is uncertain
    alike = score_covariances(np.stack([models[0]] * 3), Scoring(ALL))
    np.testing.assert_allclose(alike, found[0, 0])


def test_places_are_blocks_and_many_share_one() -> None:
    assert blocks_of(np.array([70, 5, 5, 9])).tolist() == [2, 0, 0, 1]
    blocks = blocks_of(np.repeat(np.arange(100) * 3, 2))
    assert sorted(set(blocks.tolist())) == list(range(32))
    assert np.bincount(blocks).max() == 8  # four places of two frames
    assert (blocks[0::2] == blocks[1::2]).all(), "a place is never cut"
    assert blocks_of(np.zeros(0, np.int64)).size == 0


def test_blocks_of_places_tell_how_a_score_moves_about_as_places_do() -> None:
    random = np.random.default_rng(6)
    models = random.integers(1, 200, (2, 192, 4, 4)) + 300 * np.eye(4, dtype=np.int64)
    blocks = blocks_of(np.arange(192))
    of_blocks = np.stack(
        [[model[blocks == block].sum(axis=0) for block in range(32)] for model in models]
    )
    scoring = Scoring((0, 1, 2, 3))
    places, coarse = score_covariances(models, scoring), score_covariances(of_blocks, scoring)
    np.testing.assert_allclose(
        np.sqrt(np.diagonal(coarse)), np.sqrt(np.diagonal(places)), rtol=0.35
    )
    without = left_out_scores(of_blocks[0], scoring)
    assert without[3] == pytest.approx(scoring.of(np.delete(of_blocks[0], 3, axis=0).sum(axis=0)))


WEIGHTED = Scoring(ALL, dice, ((0, 1.0), (2, 3.0)))
LEAST = Scoring(ALL, recall, together="least")


@pytest.mark.parametrize("scoring", [WEIGHTED, LEAST, Scoring(ALL, weights=((2, 1.0),))])
def test_places_are_left_out_and_resampled_by_the_score_itself(scoring: Scoring) -> None:
    confusions = some_places(14, 3)
    others = [scoring.of(np.delete(confusions, place, 0).sum(0)) for place in range(14)]
    np.testing.assert_allclose(left_out_scores(confusions, scoring), others, rtol=1e-12)
    how = Resampling(resamples=400, method=Method.PERCENTILE)
    found = score_interval(confusions, scoring, how)
    assert found.mean.value == scoring.of(confusions.sum(0))
    times = np.random.default_rng(how.seed).integers(0, 14, (400, 14))
    drawn = np.array([scoring.of(confusions[picks].sum(0)) for picks in times])
    reach = np.sqrt(14 / 13) * stdtrit(13, 0.975)
    tails = stats.norm.cdf([-reach, reach])
    expected = np.quantile(drawn, tails)
    assert [interval(found.mean).low, interval(found.mean).high] == pytest.approx(expected)


def test_a_class_that_does_not_count_may_lie_in_few_places() -> None:
    confusions = some_places(12, 0)
    confusions[1:, 2] = 0  # the last class lies in one place
    assert isinstance(score_interval(confusions, Scoring(ALL)).mean.interval, Unknown)
    assert interval(score_interval(confusions, Scoring(ALL, weights=((0, 2.0), (1, 1.0)))).mean)
    assert isinstance(score_interval(confusions, LEAST).mean.interval, Unknown)
