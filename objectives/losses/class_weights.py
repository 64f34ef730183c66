"""One weight per class for the pixel losses, from the training part's pixel counts or as given."""

from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.config import ClassWeights, GivenClassWeights, InverseFrequency, NoClassWeights
from objectives.errors import Problem, ProblemsError, UserError

PATH = "loss.class_weights"


def class_weights_K(
    weights: ClassWeights, pixel_counts_K: npt.NDArray[np.integer], ignore_label: int | None
) -> Tensor:
    """Return the float32 weight of each class; the ignored label's is 0.

    ``pixel_counts_K`` counts the training part's pixels by label, the ignored ones included. *none*: 1. *given*: as given.
    *inverse frequency*: share_k ** -power, scaled so that the mean over the labelled pixels is 1; a class without a pixel
    in training gets the weight of the rarest class that has one.

    Raises:
        UserError: The given list has another length than there are classes or no weight above 0; no pixel is labelled.
    """
    labelled_K = np.ones(len(pixel_counts_K), dtype=bool)
    if ignore_label is not None and 0 <= ignore_label < len(labelled_K):
        labelled_K[ignore_label] = False
    match weights:
        case NoClassWeights():
            values_K = np.ones(len(labelled_K))
        case InverseFrequency(power=power):
            values_K = _inverse_frequency_K(np.where(labelled_K, pixel_counts_K, 0), power)
        case GivenClassWeights(values=values):
            values_K = _given_K(values, labelled_K)
        case _:
            assert_never(weights)
    return torch.tensor(np.where(labelled_K, values_K, 0.0), dtype=torch.float32)


def _inverse_frequency_K(
    counts_K: npt.NDArray[np.integer], power: float
) -> npt.NDArray[np.float64]:
    total = counts_K.sum()
    if total == 0:
        raise UserError(
            f"{PATH}: inverse frequency needs labelled pixels in the training part, got none"
        )
    share_K = counts_K / total
    rarest = share_K[share_K > 0].min()
    raw_K = np.maximum(share_K, rarest) ** -power
    scaled_K: npt.NDArray[np.float64] = raw_K / (share_K * raw_K).sum()
    return scaled_K


def _given_K(
    values: tuple[float, ...], labelled_K: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    path = f"{PATH}.values"
    if len(values) != len(labelled_K):
        problem = Problem(
            path,
            f"the data has {len(labelled_K)} classes and needs one weight for each",
            f"{len(values)}",
        )
        raise ProblemsError("config", [problem])
    values_K = np.asarray(values, dtype=np.float64)
    if not (values_K[labelled_K] > 0).any():
        raise ProblemsError(
            "config",
            [Problem(path, "at least one class must weigh more than 0", f"{list(values)}")],
        )
    return values_K
