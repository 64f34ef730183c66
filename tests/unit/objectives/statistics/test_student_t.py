"""Student's t distribution against scipy's."""

import math

import pytest
from scipy import stats

from objectives.statistics.student_t import t_cdf, t_quantile

DEGREES = [0.3, 1.0, 1.7, 2.0, 5.5, 10.0, 200.0, 1e5]


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("t", [-1e8, -50.0, -5.0, -1.3, -1e-9, 0.0, 1e-5, 0.2, 1.0, 7.0, 1e3])
def test_probabilities_are_those_of_scipy(t: float, degrees: float) -> None:
    assert t_cdf(t, degrees) == pytest.approx(float(stats.t.cdf(t, degrees)), rel=1e-7)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.3, 0.5, 0.5001, 0.9, 0.975, 0.9999])
def test_quantiles_are_those_of_scipy(probability: float, degrees: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(float(stats.t.ppf(probability, degrees)), rel=1e-7, abs=1e-9)


def test_infinities_have_the_whole_probability_on_one_side() -> None:
    assert (t_cdf(math.inf, 2.0), t_cdf(-math.inf, 2.0)) == (1.0, 0.0)
