"""What remains of a mean once it was chosen for being high: the candidates are pulled together as
far as their noise says.

The highest of some noisy means is high partly by luck, also after a confirmation. A mean under a
prior that all candidates share needs no further correction for having been chosen.

Source: Senn 2008 (A Note Concerning a Selection "Paradox" of Dawid's); Efron 2011 (Tweedie's
Formula and Selection Bias), section 1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_GRID = 400
_PRIOR_SCALE = 2.0  # of the typical noise


@dataclass(frozen=True)
class Shrunk:
    """Means (C,) pulled together, and their variances."""

    means: Floats
    variances: Floats


def pull_together(means_C: Floats, variances_C: Floats) -> Shrunk:
    """Means of true values that come from one normal distribution of unknown mean and spread;
    variances are those of noise.

    The spread has a half-Cauchy prior twice as wide as the typical noise, so that two candidates
    are enough for an answer: far apart they are left alone, close together they meet. With that
    width the highest of 2 to 10 comes out between 0.2 standard errors too low and 0.4 too high,
    whatever the true spread; its plain mean is up to 1.5 too high. One candidate alone, or one
    without noise, stays where it is.

    Source: Gelman et al. 2013 (Bayesian Data Analysis, 3rd edition), equations 5.17, 5.20 and 5.21,
    the spread summed over a grid; the prior: Gelman 2006 (Prior Distributions for Variance
    Parameters in Hierarchical Models), section 3.2.
    """
    if len(means_C) < 2 or not (variances_C > 0.0).all():
        return Shrunk(means_C, variances_C)
    scale = _PRIOR_SCALE * float(np.sqrt(variances_C.mean()))
    angle = (np.arange(_GRID) + 0.5) / _GRID * np.pi / 2.0
    # quantiles of the prior, so that each has the same prior weight
    spread_A1 = scale * np.tan(angle)[:, None]
    total_AC = variances_C + spread_A1**2
    centre_variance_A1 = 1.0 / (1.0 / total_AC).sum(axis=1, keepdims=True)
    centre_A1 = (means_C / total_AC).sum(axis=1, keepdims=True) * centre_variance_A1
    log_A = 0.5 * (np.log(centre_variance_A1[:, 0]) - np.log(total_AC).sum(axis=1))
    log_A -= 0.5 * ((means_C - centre_A1) ** 2 / total_AC).sum(axis=1)
    weight_A1 = np.exp(log_A - log_A.max())[:, None]
    weight_A1 /= weight_A1.sum()
    pull_AC = variances_C / total_AC
    means_AC = pull_AC * centre_A1 + (1.0 - pull_AC) * means_C
    variances_AC = (1.0 - pull_AC) * variances_C + pull_AC**2 * centre_variance_A1
    means = (weight_A1 * means_AC).sum(axis=0)
    return Shrunk(means, (weight_A1 * (variances_AC + (means_AC - means) ** 2)).sum(axis=0))
