"""How unsure a model is of a pixel, by its own probabilities; 0 is sure, 1 as unsure as S classes
allow. Imports no torch.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.special import entr

Floats = npt.NDArray[np.float32]


def entropy(probable_SHW: Floats) -> Floats:
    """Return H(p) / ln S of each pixel (H, W), H(p) = -sum_s p_s ln p_s, from the probabilities
    (S, H, W) of the scored classes; 0 where there is one class alone.

    Source: Shannon 1948 (A Mathematical Theory of Communication), section 6; as the uncertainty of
    a prediction ("predictive entropy"): Gal 2016 (Uncertainty in Deep Learning), section 3.3.1.
    """
    nats_HW = np.asarray(entr(probable_SHW).sum(axis=0), np.float32)
    return _bounded(nats_HW * _scale(len(probable_SHW)))


def disagreement(members_SHW: Iterable[Floats], weights: Iterable[float]) -> Floats:
    """Return how far the members of an average are of different minds at each pixel, (H, W): the
    mutual information between the label and the member, drawn by its weight, divided by ln S.

    I = H(sum_m w_m p_m) - sum_m w_m H(p_m), sum_m w_m = 1, from each member's probabilities (S, H, W).
    It is 0 where all say the same, however unsure of it, and never above the entropy of their mean.

    Source: Houlsby et al. 2011 (Bayesian Active Learning for Classification and Preference
    Learning), equation 2; of an ensemble's members: Lakshminarayanan et al. 2017 (Simple and Scalable
    Predictive Uncertainty Estimation using Deep Ensembles), whose disagreement, the divergences
    KL(p_m || sum_m w_m p_m), are the same in the mean.
    """
    mean_SHW: Floats = np.zeros((), np.float32)
    inside_HW: Floats = np.zeros((), np.float32)
    for member_SHW, weight in zip(members_SHW, weights, strict=True):
        mean_SHW = mean_SHW + np.float32(weight) * member_SHW
        inside_HW = inside_HW + np.float32(weight) * entropy(member_SHW)
    return _bounded(entropy(mean_SHW) - inside_HW)


def _bounded(values: Floats) -> Floats:
    """Return them without what rounding has put beyond 0..1."""
    return np.asarray(values.clip(0, 1), np.float32)


def _scale(classes: int) -> np.float32:
    return np.float32(1 / np.log(classes) if classes > 1 else 0)
