"""Stacking: a second model that reads the first models' probabilities of a pixel and gives its own.
Imports no torch.

z_s = sum_m sum_j A_smj ln max(p_mj, FLOOR) + b_s, and the second model's probabilities are the
softmax of z over the scored classes: multinomial logistic regression on the members' outputs. A_smj
= [s = j] / M with b = 0 is the members' even geometric mean; the fit begins there and is drawn
there by a penalty, so that members that are nearly alike cannot play off against each other.

Source: Wolpert 1992 (Stacked Generalization); that the first models' probabilities, not their
labels, are what a second linear model should read: Ting & Witten 1999 (Issues in Stacked
Generalization), section 3.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

# of a probability whose logarithm is read: below the smallest code of `encode_probabilities` but 0
FLOOR = 1e-5
# half of it times the squared distance from the geometric mean is added to the mean cross-entropy
PENALTY = 1e-3
_STEPS = 500  # of L-BFGS at most


@dataclass(frozen=True, eq=False)
class Stack:
    """A fitted second model: of the S scored classes, over the probabilities of some members of a
    library.
    """

    members: tuple[int, ...]
    # A, with F = M * S inputs: all classes of the first member, then those of the next
    weights_SF: Floats
    offsets_S: Floats  # b

    def logits_SQ(self, planes_MSQ: Floats) -> Floats:
        """z of Q pixels, from the probabilities (M, S, Q) of its members."""
        return self.weights_SF @ log_inputs_FQ(planes_MSQ) + self.offsets_S[:, None]


def log_inputs_FQ(planes_MSQ: Floats) -> Floats:
    """Return what a second model reads: ln max(p, FLOOR) of the members' probabilities
    (M, S, Q).
    """
    members, classes, pixels = planes_MSQ.shape
    return np.log(np.maximum(planes_MSQ, np.float32(FLOOR))).reshape(members * classes, pixels)


def fit_stack(members: tuple[int, ...], planes_MSQ: Floats, labels_Q: Counts) -> Stack:
    """Return the second model with the least penalised cross-entropy on Q pixels; labels of S and
    above are of no scored class.

    The loss is convex, so that it has one minimum. Without a labelled pixel it is the geometric
    mean.
    """
    count, classes, _ = planes_MSQ.shape
    centre_SF = np.tile(np.eye(classes), count) / count
    inside = labels_Q < classes
    if not inside.any():
        return Stack(members, centre_SF.astype(np.float32), np.zeros(classes, np.float32))
    inputs_FQ = log_inputs_FQ(planes_MSQ[:, :, inside])
    labels = labels_Q[inside]
    centre = np.concatenate([centre_SF, np.zeros((classes, 1))], axis=1)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        parameters = flat.reshape(centre.shape)
        value, gradient = _cross_entropy(parameters, inputs_FQ, labels)
        away = parameters - centre
        return value + 0.5 * PENALTY * float((away**2).sum()), (gradient + PENALTY * away).ravel()

    solution = minimize(
        loss, centre.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    )
    best = solution.x.reshape(centre.shape).astype(np.float32)
    return Stack(members, best[:, :-1], best[:, -1])


def _cross_entropy(
    parameters: npt.NDArray[np.float64], inputs_FQ: Floats, labels_Q: Counts
) -> tuple[float, npt.NDArray[np.float64]]:
    """Mean cross-entropy of weights and, in the last column, offsets; and its gradient."""
    pixels = np.arange(len(labels_Q))
    logits_SQ = (parameters[:, :-1].astype(np.float32) @ inputs_FQ).astype(np.float64) + parameters[
        :, -1:
    ]
    logits_SQ -= logits_SQ.max(axis=0)
    raised_SQ = np.exp(logits_SQ)
    sums_Q = raised_SQ.sum(axis=0)
    value = float((np.log(sums_Q) - logits_SQ[labels_Q, pixels]).mean())
    error_SQ = raised_SQ / sums_Q
    error_SQ[labels_Q, pixels] -= 1.0
    error_SQ /= len(labels_Q)
    gradient = np.concatenate(
        [error_SQ.astype(np.float32) @ inputs_FQ.T, error_SQ.sum(axis=1, keepdims=True)], axis=1
    )
    return value, gradient.astype(np.float64)
