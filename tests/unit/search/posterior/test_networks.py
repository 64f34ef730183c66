"""What is believed of networks and of their ensembles, against independent computations and made
truth.
"""

import numpy as np
import pytest

from objectives.statistics.resampling import covariances_of
from search.posterior.belief import Believer, Run
from search.posterior.carried import carry
from search.posterior.coordinates import Coordinates, Number
from search.posterior.gaussian import Posterior
from search.posterior.networks import Networks, Seen, advantage, luck_of, probability_above
from search.posterior.standing import SURE
from tests.support.ensemble_worlds import MadeStudy, World, chosen

SEED_SD, LUCK = 0.02, 0.012


def seen(shares: list[float], covariances: np.ndarray, *, gain: float = 0.02) -> Seen:
    return Seen(np.array(shares), gain, 0.005, covariances, places=30)


def test_a_network_keeps_what_its_seed_did_as_a_joint_normal_says() -> None:
    """Of ``y = f + s + e``, all normal, the mean and covariance of ``f + s`` given ``y``, by the
    textbook's formula for joint normals, are those of the shares that are kept.
    """
    random = np.random.default_rng(0)
    factor = random.normal(size=(4, 4)) * 0.02
    prior, scores = factor @ factor.T, random.normal(0.5, 0.03, 4)
    kept_sd = (SEED_SD**2 - LUCK**2) ** 0.5
    told = prior + SEED_SD**2 * np.eye(4)
    configs = Posterior(
        0.5 + prior @ np.linalg.solve(told, scores - 0.5),
        prior - prior @ np.linalg.solve(told, prior),
    )
    networks = Networks(configs, scores, SEED_SD, np.zeros(4))
    truth = prior + kept_sd**2 * np.eye(4)
    means = 0.5 + truth @ np.linalg.solve(told, scores - 0.5)
    np.testing.assert_allclose(networks.means_M(LUCK), means, atol=1e-12)
    # with an ensemble that has no noise of its own, and members whose luck is independent
    covariances = np.zeros((5, 5))
    covariances[1:, 1:] = LUCK**2 * np.eye(4)
    a = np.array([-0.5, 0.5, 0.0, 0.0])
    found = advantage(networks, seen([0.5, 0.5, 0.0, 0.0], covariances), 0)
    assert found.members == pytest.approx(a @ means)
    assert found.gain == pytest.approx(a @ means + 0.02 - 0.005)
    posterior = truth - truth @ np.linalg.solve(told, truth)
    scores_of = networks.scores(LUCK)
    np.testing.assert_allclose(scores_of.means_C, means, atol=1e-12)
    np.testing.assert_allclose(scores_of.covariances_CC, posterior, atol=1e-12)
    # less the luck of the members' mean, which the gain is over, and which is told apart from none
    w = np.array([0.5, 0.5, 0.0, 0.0])
    kept = 1 - LUCK**2 / SEED_SD**2
    mixed = LUCK**2 * (w @ w - 2 * kept * a @ w)
    assert found.sd**2 == pytest.approx(a @ posterior @ a + mixed)


def test_without_a_choice_the_advantage_is_the_paired_difference_of_scores() -> None:
    random = np.random.default_rng(1)
    factor = random.normal(size=(4, 6)) * 0.01
    covariances, scores = factor @ factor.T, np.array([0.5, 0.48, 0.46])
    found = advantage(Networks.observed(scores), seen([0.5, 0.5, 0.0], covariances), 0)
    assert found.gain == pytest.approx(0.49 + 0.02 - 0.5 - 0.005)
    difference = covariances[0, 0] + covariances[1, 1] - 2 * covariances[0, 1]
    assert found.sd**2 == pytest.approx(difference)
    assert found.probability == probability_above(found.gain, found.sd, 30)


def test_an_ensemble_that_is_the_single_network_gains_nothing() -> None:
    same = np.full((3, 3), 1e-4)
    same[2, 2] = 2e-4
    alone = Seen(np.array([1.0, 0.0]), 0.0, 0.0, same, places=9)
    found = advantage(Networks.observed(np.array([0.5, 0.4])), alone, 0)
    assert (found.gain, found.sd, found.probability) == pytest.approx((0.0, 0.0, 0.5), abs=1e-9)


def test_few_places_make_less_sure() -> None:
    sure = [probability_above(0.02, 0.01, places) for places in (2, 3, 6, 100)]
    assert sure == sorted(sure)
    assert sure[0] == pytest.approx(
        0.5 + np.arctan(2.0) / np.pi
    )  # Cauchy's, of one degree of freedom
    assert probability_above(-0.02, 0.01, 6) == pytest.approx(1.0 - sure[2])
    assert probability_above(0.0, 0.0, 6) == 0.5


def test_the_best_of_equal_runs_is_believed_less_than_it_scored() -> None:
    """24 runs of configs that hardly differ: the highest score is luck of its seed and frames."""
    random = np.random.default_rng(2)
    coordinates = Coordinates({"x": Number(0, 1)}, {"x": 0.5})
    values = [{"x": 0.5 + 0.002 * place} for place in range(24)]
    scores = 0.6 + 0.02 * random.normal(size=24)
    believer = Believer(
        coordinates, [Run(each, np.full(8, s)) for each, s in zip(values, scores, strict=True)], 8
    )
    best = int(np.argmax(scores))
    second = int(np.argsort(-scores)[1])
    carried = carry([np.full(8, s) for s in scores], [True] * 24, 8)
    some = [values[best], values[second]]
    networks = Networks.believed(believer, some, carried.some([best, second]))
    np.testing.assert_allclose(networks.runs_M, scores[[best, second]])
    every = believer.of(values)
    np.testing.assert_allclose(networks.configs.means_C, every.means_C[[best, second]])
    luck = [networks.means_M(each)[0] for each in (0.0, 0.01, 0.02, 0.05)]
    assert scores[best] >= luck[0] > luck[1] > luck[2]
    assert luck[3] == pytest.approx(every.means_C[best])


def test_what_is_handed_out_is_a_network_and_chosen_as_one() -> None:
    """Studies in which seeds matter as much as configs: by what its config is worth a network is truly
    worse, and nearly as good as the best one is what its own score says, the luck of its frames off.
    """
    studies = [MadeStudy(World(40, 0.9, 0.15), number) for number in range(16)]
    by_network = np.array([study.truths[study.first] for study in studies])
    by_config = np.array([study.truths[chosen(study.networks.configs)] for study in studies])
    controls = np.array([study.truths[0] for study in studies])
    assert (by_network - by_config).mean() > 0.01
    assert (by_network < controls).mean() <= 0.1
    kept = [study.networks.kept_M(study.luck).mean() for study in studies]
    assert 0.8 < np.mean(kept) < 1.0
    believed = np.array([study.networks.means_M(study.luck) for study in studies])
    truths = np.array([study.truths for study in studies])
    configs = np.array([study.networks.configs.means_C for study in studies])
    assert ((believed - truths) ** 2).mean() < ((configs - truths) ** 2).mean() / 4


def test_luck_is_half_the_variance_of_paired_differences() -> None:
    """Networks that share what makes places hard, and differ by luck of their own."""
    random = np.random.default_rng(3)
    places = 0.6 + 0.1 * random.normal(size=(1, 200)) + 0.07 * random.normal(size=(5, 200))
    without = (places.sum(axis=1, keepdims=True) - places) / 199  # means, each without one place
    assert luck_of(covariances_of(without)) == pytest.approx(0.07 / 200**0.5, rel=0.1)
    assert luck_of(np.full((3, 3), 0.01)) == 0.0


@pytest.mark.long
def test_the_rule_is_more_often_right_than_halves_are() -> None:
    """Studies whose networks err alike for the most part, so that some ensembles are truly worse than
    the single network. The figures of docs/search.md are of more studies (`bench_ensembles.py`).
    """
    made = [MadeStudy(World(40, 0.97, 0.05), number) for number in range(40)]
    studies = [study for study in made if not study.is_single]  # of the others no rule exports one
    assert len(studies) > 30
    truths = np.array([study.truth for study in studies])
    weighed = np.array([study.advantage.probability > SURE for study in studies])
    halves = np.array([study.lead_by_halves > 0 for study in studies])
    assert 4 < (truths < 0).sum() < 36
    assert (weighed & (truths < 0)).mean() <= 0.1
    assert (weighed & (truths < 0)).sum() < (halves & (truths < 0)).sum()
    assert np.where(weighed, truths, 0).mean() > np.where(halves, truths, 0).mean()
    off = np.array([study.advantage.gain - study.truth for study in studies])
    sds = np.array([study.advantage.sd for study in studies])
    assert abs(off.mean()) < 0.005
    assert 0.5 < np.mean((off / sds) ** 2) ** 0.5 < 1.7
