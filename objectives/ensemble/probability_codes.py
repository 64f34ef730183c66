"""Probabilities in one byte each, for keeping those of many models on all validation pixels.
Imports no torch.
"""

import numpy as np
import numpy.typing as npt

_TOP = 255
_DECODED = (np.arange(_TOP + 1, dtype=np.float64) / _TOP).astype(np.float32) ** 2


def encode_probabilities(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Codes of probabilities of any shape, in 0..1, about evenly spaced in their square roots.

    Small probabilities are distinguished better than large ones, which many classes need: with 150
    classes the highest one of a doubtful pixel may be 0.02, where even steps of 1/255 would make
    many ties. A larger probability never has a smaller code, 0 and 1 are exact. Rounding may push
    values just outside 0..1; those are clipped.
    """
    roots = np.sqrt(np.clip(probabilities.astype(np.float32, copy=False), 0.0, 1.0))
    codes: npt.NDArray[np.uint8] = np.rint(roots * _TOP).astype(np.uint8)
    return codes


def decode_probabilities(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probabilities float32 from their codes, each within `largest_error` of the one encoded; they
    sum to about 1 only.
    """
    return _DECODED[codes]


def largest_error(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return how far each probability may be from the one its code stands for: sqrt(p) / 255 + 1 /
    510^2, at most 0.004.

    Source: the root is off by at most e = 1 / 510, so the square by at most 2 e sqrt(p) + e^2.
    """
    step = 0.5 / _TOP
    bound: npt.NDArray[np.float64] = (
        2.0 * step * np.sqrt(probabilities.astype(np.float64)) + step**2
    )
    return bound
