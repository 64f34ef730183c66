"""Means pulled together, against a sum over all possible centres and spreads."""

import numpy as np
import pytest
from scipy import stats

from search.confirm.selection_bias import pull_together


def test_means_and_variances_are_those_of_the_posterior() -> None:
    means_C, variances_C = np.array([0.61, 0.60, 0.63, 0.55]), np.array([1e-4, 2e-4, 1e-4, 1e-4])
    prior = stats.halfcauchy(scale=2.0 * np.sqrt(variances_C.mean()))
    spread_A = prior.ppf((np.arange(400) + 0.5) / 400)[:, None, None]
    centre_X = np.linspace(0.3, 0.9, 1201)[:, None]
    total = variances_C + spread_A**2
    likelihood_AX = np.exp(stats.norm.logpdf(means_C, centre_X, np.sqrt(total)).sum(axis=2))
    weight_AX = likelihood_AX / likelihood_AX.sum()
    share = variances_C / total  # of the centre in each true value
    truth = share * centre_X + (1 - share) * means_C  # (A, X, C)
    expected = (weight_AX[..., None] * truth).sum(axis=(0, 1))
    variance = (weight_AX[..., None] * ((1 - share) * variances_C + (truth - expected) ** 2)).sum(
        axis=(0, 1)
    )
    found = pull_together(means_C, variances_C)
    np.testing.assert_allclose(found.means, expected, atol=2e-5)
    np.testing.assert_allclose(found.variances, variance, rtol=5e-3)


def test_one_candidate_and_certain_means_stay_where_they_are() -> None:
    assert pull_together(np.array([0.6]), np.array([1e-4])).means.tolist() == [0.6]
    assert pull_together(np.array([0.6, 0.5]), np.zeros(2)).means.tolist() == [0.6, 0.5]


def test_far_apart_means_are_left_nearly_alone_and_close_ones_meet() -> None:
    noise = np.full(5, 1.0)
    far = pull_together(np.array([0.0, 100.0, 200.0, 300.0, 400.0]), noise).means
    assert far[-1] == pytest.approx(400.0, abs=0.1)
    close = pull_together(np.array([-0.2, -0.1, 0.0, 0.1, 0.2]), noise).means
    assert 0.0 < close[-1] < 0.1
