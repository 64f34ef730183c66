"""Student's t distribution without scipy: its probabilities and quantiles for any degrees of freedom, whole or not."""

import math

_STEPS = 10_000
_SMALL = 1e-200
_PRECISION = 1e-15


def t_cdf(t: float, degrees: float) -> float:
    """The probability that a Student t variable with these degrees of freedom, above 0, is at most ``t``.

    Source: Abramowitz and Stegun 1964 (Handbook of Mathematical Functions), equation 26.7.1:
    P(|T| > t) = I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t^2).
    """
    assert degrees > 0.0, degrees
    if math.isinf(t):
        return float(t > 0.0)
    # each is worked out by itself: the rounded rest of the other would be lost where it is small
    inside, beyond = t * t / (degrees + t * t), degrees / (degrees + t * t)
    outside = (
        1.0 - _incomplete_beta(0.5, degrees / 2.0, inside) if inside < 0.5 else _incomplete_beta(degrees / 2.0, 0.5, beyond)
    )
    return 1.0 - outside / 2.0 if t > 0.0 else outside / 2.0


def t_quantile(probability: float, degrees: float) -> float:
    """The value that a Student t variable stays below with this probability, in (0, 1): `t_cdf` inverted by halving."""
    assert 0.0 < probability < 1.0, probability
    if probability < 0.5:
        return -t_quantile(1.0 - probability, degrees)
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability and high < 1e300:
        low, high = high, high * 2.0
    while high - low > 1e-13 * high:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2.0


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    Source: Abramowitz and Stegun 1964, equations 26.5.2 (the symmetry) and 26.5.8 (the continued fraction).
    """
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / a * _continued_fraction(a, b, x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """1 / (1 + d1 / (1 + d2 / ...)), the fraction of equation 26.5.8.

    Source: evaluated as in Lentz 1976 (Generating Bessel functions in Mie scattering calculations using continued fractions).
    """
    value = upper = _SMALL
    lower = 0.0
    for step in range(_STEPS):
        term = _term(step, a, b, x)
        lower = 1.0 / _not_zero(1.0 + term * lower)
        upper = _not_zero(1.0 + term / upper)
        value *= upper * lower
        if abs(upper * lower - 1.0) < _PRECISION:
            break
    return value


def _term(step: int, a: float, b: float, x: float) -> float:
    m = step // 2
    if step == 0:
        return 1.0
    if step % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))


def _not_zero(value: float) -> float:
    return value if abs(value) > _SMALL else _SMALL
