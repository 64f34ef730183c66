"""Other training parts of a data set: training and validation dealt anew by whole groups, or all frames at once."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from objectives.data.dataset import Dataset
from objectives.data.split import deal

FRAMES = 256  # looked at together
LEAST_DEVIATION = 1e-3  # of a channel in 0..1, so that an even channel is not blown up


def resplit(data: Dataset, seed: int) -> Dataset:
    """The data set with other training and validation parts of the same shares, balanced as the first ones were.

    All that comes from the training part (class pixels, mean and deviation of the channels) is measured anew.
    """
    train, validation = data.parts["train"], data.parts["validation"]
    open_frames = np.sort(np.concatenate([train, validation]))
    _, groups = np.unique(data.groups[open_frames], return_inverse=True)
    counts_NK = pixel_counts_NK(data, open_frames)
    share = len(validation) / len(open_frames)
    dealt = deal(groups, counts_NK[:, list(data.spec.scored)], (1 - share, share), seed)
    parts = {**data.parts, "train": open_frames[dealt[0]], "validation": open_frames[dealt[1]]}
    return with_training_part(replace(data, parts=parts))


def trained_on_everything(data: Dataset) -> Dataset:
    """The data set with every labelled frame in its training part; the other parts stay, and measure nothing any more."""
    everything = np.sort(np.concatenate([*data.parts.values()]))
    return with_training_part(replace(data, parts={**data.parts, "train": everything}))


def with_training_part(data: Dataset) -> Dataset:
    """The data set with all that comes from its training part measured on the part that it has now."""
    train = data.parts["train"]
    mean, deviation = moments_C(data, train)
    spec = data.spec.model_copy(update={"mean": mean, "std": deviation})
    return replace(data, spec=spec, pixel_counts=pixel_counts_NK(data, train).sum(axis=0))


def pixel_counts_NK(data: Dataset, indices: np.ndarray) -> np.ndarray:
    """Pixels of each label in each of some frames, int64 (N, K)."""
    num_classes = data.spec.num_classes
    return np.array([np.bincount(data.masks[index].ravel(), minlength=num_classes) for index in indices.tolist()])


def moments_C(data: Dataset, indices: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel over some frames, of pixels scaled to 0..1; no deviation is quite 0."""
    count, total, squares = 0, np.zeros(data.spec.channels), np.zeros(data.spec.channels)
    for pixels_PC in _pixels_PC(data, indices):
        count += len(pixels_PC)
        total += pixels_PC.sum(axis=0)
        squares += (pixels_PC**2).sum(axis=0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple(mean.tolist()), tuple(np.maximum(deviation, LEAST_DEVIATION).tolist())


def _pixels_PC(data: Dataset, indices: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), FRAMES):
        yield data.images[indices[start : start + FRAMES]].reshape(-1, data.spec.channels) / data.spec.max_value
