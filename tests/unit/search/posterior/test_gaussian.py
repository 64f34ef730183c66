"""The Gaussian process against independent computations, and on worlds whose truth is known."""

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


def observed(seed: int, runs: int = 9) -> tuple[Floats, Observed]:
    random = np.random.default_rng(seed)
    points_ND = random.uniform(0, 1, (runs, FIELDS))
    points_ND[runs - 1] = points_ND[0]  # a config that was trained twice
    return points_ND, Observed(
        squared(points_ND, points_ND),
        effects(points_ND),
        0.6 + 0.05 * random.normal(size=runs),
        random.uniform(0.001, 0.01, runs),
        np.where(random.random(runs) < 0.5, 0.0, 0.03),
    )


def by_hand(process: Process, points: Floats, seen: Observed, new: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance of everything, runs first, one pair after the other."""
    everything = np.concatenate([points, new])
    away = effects(everything)
    size = len(everything)
    mean = process.level - process.spread * away[:, 0]
    covariance = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            r = float(np.sqrt((((everything[i] - everything[j]) / SCALES.length) ** 2).sum()))
            k = (1 + 5**0.5 * r + 5 * r * r / 3) * np.exp(-(5**0.5) * r)
            covariance[i, j] = (
                SCALES.amplitude**2 * k
                + LEVEL_SD**2
                + process.spread**2 * sum(away[i][f] * away[j][f] for f in range(1 + 2 * FIELDS))
            )
            if i < len(points) and j < len(points):
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
def test_the_posterior_is_the_conditional_of_the_joint_normal(seed: int) -> None:
    points, seen = observed(seed)
    new = np.random.default_rng(seed + 99).uniform(0, 1, (4, FIELDS))
    process = Process(seen, SCALES)
    mean, covariance = by_hand(process, points, seen, new)
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
def test_the_evidence_is_the_density_of_the_runs(seed: int) -> None:
    points, seen = observed(seed)
    process = Process(seen, SCALES)
    mean, covariance = by_hand(process, points, seen, points[:0])
    assert process.log_evidence(SCALES) == pytest.approx(
        multivariate_normal(mean, covariance).logpdf(seen.scores_N)
    )


def world(seed: int, runs: int, seed_sd: float) -> tuple[Floats, Floats, Floats]:
    """Configs, their true scores and one noisy score each: the first field matters most."""
    random = np.random.default_rng(seed)
    points = random.uniform(0, 1, (runs, FIELDS))
    phases = random.uniform(0, 6.3, FIELDS)
    truth = 0.6 + np.sin(3 * points + phases) @ np.array([0.03, 0.01, 0.0])
    return points, truth, truth + seed_sd * random.normal(size=runs)


def fitted(points: Floats, scores: Floats) -> Process:
    nothing = np.zeros(len(points))
    return Process(Observed(squared(points, points), effects(points), scores, nothing, nothing))


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
