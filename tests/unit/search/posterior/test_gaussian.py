"""The Gaussian process against independent computations, and on worlds whose truth is known."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import gamma, kv
from scipy.stats import multivariate_normal

from search.posterior.gaussian import JITTER, LEVEL_SD, Observed, Process, Scales, matern

Floats = npt.NDArray[np.float64]
FIELDS = 3
SCALES = Scales(0.8, 0.04, 0.012)


def squared(a_ND: Floats, b_MD: Floats) -> Floats:
    return np.asarray((a_ND[:, None] - b_MD[None]) ** 2).sum(axis=2)


def effects(points_ND: Floats) -> Floats:
    fall = (points_ND**2).mean(axis=1, keepdims=True) * 4
    return np.hstack([fall, 0.2 * points_ND, 0.1 * points_ND**2])


def observed(seed: int, runs: int = 9, others: int = 0) -> tuple[Floats, Observed]:
    """Runs, a third of them of each of two other studies where there are such."""
    random = np.random.default_rng(seed)
    points_ND = random.uniform(0, 1, (runs, FIELDS))
    points_ND[runs - 1] = points_ND[0]  # a config that was trained twice
    return points_ND, Observed(
        squared(points_ND, points_ND),
        effects(points_ND),
        0.6 + 0.05 * random.normal(size=runs),
        random.uniform(0.001, 0.01, runs),
        np.where(random.random(runs) < 0.5, 0.0, 0.03),
        np.arange(runs) % (1 + others),
        others,
    )


def by_hand(
    process: Process, points: Floats, seen: Observed, new: Floats, scales: Scales = SCALES
) -> tuple[Floats, Floats]:
    """Mean and covariance of everything, runs first, one pair after the other."""
    everything = np.concatenate([points, new])
    away = effects(everything)
    size = len(everything)
    study = [*seen.studies_N, *[0] * len(new)]
    with_this = [1.0, *scales.likenesses]
    mean = process.level - process.spread * away[:, 0]
    covariance = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            r = float(np.sqrt((((everything[i] - everything[j]) / SCALES.length) ** 2).sum()))
            k = (1 + 5**0.5 * r + 5 * r * r / 3) * np.exp(-(5**0.5) * r)
            same = study[i] == study[j]
            shared = 1.0 if same else with_this[study[i]] * with_this[study[j]]
            covariance[i, j] = LEVEL_SD**2 * same + shared * (
                SCALES.amplitude**2 * k
                + process.spread**2 * sum(away[i][f] * away[j][f] for f in range(1 + 2 * FIELDS))
            )
            if i < len(points) and j < len(points) and same:
                near = float(np.sqrt((((everything[i] - everything[j]) / process.base) ** 2).sum()))
                alike = (1 + 5**0.5 * near + 5 * near * near / 3) * np.exp(-(5**0.5) * near)
                covariance[i, j] += seen.early_sds_N[i] * seen.early_sds_N[j] * alike
                if i == j:
                    covariance[i, j] += SCALES.seed_sd**2 + seen.epoch_sds_N[i] ** 2 + JITTER
    return mean, covariance


def test_the_correlation_is_the_matern_function_of_five_halves() -> None:
    distances = np.linspace(0.01, 4, 30)
    nu = 2.5
    scaled = np.sqrt(2 * nu) * distances
    expected = 2 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled)
    np.testing.assert_allclose(matern(distances**2), expected, rtol=1e-9)
    assert matern(np.zeros(1))[0] == 1.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("likenesses", [(), (0.8, 0.3)])
def test_the_posterior_is_the_conditional_of_the_joint_normal(
    seed: int, likenesses: tuple[float, ...]
) -> None:
    points, seen = observed(seed, others=len(likenesses))
    new = np.random.default_rng(seed + 99).uniform(0, 1, (4, FIELDS))
    scales = replace(SCALES, likenesses=likenesses)
    process = Process(seen, scales)
    mean, covariance = by_hand(process, points, seen, new, scales)
    n = len(points)
    inverse = np.linalg.inv(covariance[:n, :n])
    across = covariance[n:, :n]
    found = process.at(squared(new, points), squared(new, new), effects(new))
    np.testing.assert_allclose(
        found.means_C, mean[n:] + across @ inverse @ (seen.scores_N - mean[:n]), atol=1e-9
    )
    np.testing.assert_allclose(
        found.covariances_CC, covariance[n:, n:] - across @ inverse @ across.T, atol=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("likenesses", [(), (0.8, 0.3)])
def test_the_evidence_is_the_density_of_the_runs(seed: int, likenesses: tuple[float, ...]) -> None:
    points, seen = observed(seed, others=len(likenesses))
    scales = replace(SCALES, likenesses=likenesses)
    process = Process(seen, scales)
    mean, covariance = by_hand(process, points, seen, points[:0], scales)
    assert process.log_evidence(scales) == pytest.approx(
        multivariate_normal(mean, covariance).logpdf(seen.scores_N)
    )


def test_a_study_that_is_nothing_like_this_one_says_nothing() -> None:
    points, seen = observed(5, others=1)
    own = seen.some(np.flatnonzero(seen.studies_N == 0))
    process = Process(seen, replace(SCALES, likenesses=(0.0,)))
    alone = Process(replace(own, others=0), SCALES, process.level, process.spread)
    new = np.random.default_rng(7).uniform(0, 1, (4, FIELDS))
    here = points[seen.studies_N == 0]
    found = process.at(squared(new, points), squared(new, new), effects(new))
    expected = alone.at(squared(new, here), squared(new, new), effects(new))
    np.testing.assert_allclose(found.means_C, expected.means_C, atol=1e-9)
    np.testing.assert_allclose(found.covariances_CC, expected.covariances_CC, atol=1e-9)


def world(seed: int, runs: int, seed_sd: float) -> tuple[Floats, Floats, Floats]:
    """Configs, their true scores and one noisy score each: the first field matters most."""
    random = np.random.default_rng(seed)
    points = random.uniform(0, 1, (runs, FIELDS))
    phases = random.uniform(0, 6.3, FIELDS)
    truth = 0.6 + np.sin(3 * points + phases) @ np.array([0.03, 0.01, 0.0])
    return points, truth, truth + seed_sd * random.normal(size=runs)


def fitted(points: Floats, scores: Floats) -> Process:
    nothing = np.zeros(len(points))
    return Process(
        Observed(
            squared(points, points),
            effects(points),
            scores,
            nothing,
            nothing,
            np.zeros(len(scores), np.intp),
        )
    )


def test_scales_are_those_of_the_world() -> None:
    points, _, scores = world(0, 80, 0.01)
    scales = fitted(points, scores).scales
    assert 0.005 < scales.seed_sd < 0.02


def test_equal_runs_give_equal_scales() -> None:
    points, _, scores = world(1, 30, 0.01)
    first, again = fitted(points, scores).scales, fitted(points, scores).scales
    assert first == again


def test_what_is_believed_is_as_far_off_as_it_says() -> None:
    off, inside, noisy = [], 0, []
    for seed in range(40):
        points, truth, scores = world(seed, 40, 0.015)
        found = fitted(points, scores).at(
            squared(points, points), squared(points, points), effects(points)
        )
        off.append(found.means_C - truth)
        noisy.append(scores - truth)
        inside += int((np.abs(found.means_C - truth) <= 1.645 * found.sds_C).sum())
    share = inside / (40 * 40)
    assert 0.84 <= share <= 0.97, "of intervals of 90 %"
    assert np.std(off) < 0.6 * np.std(noisy), "it knows more than the scores"
