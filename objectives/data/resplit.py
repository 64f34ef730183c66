"""Other training parts of a data set: training and validation dealt anew by whole groups, or all
frames at once.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from objectives.data.dataset import Dataset
from objectives.data.preparing.split import deal
from objectives.data.preparing.training_pixels import training_pixels


def resplit(data: Dataset, seed: int) -> Dataset:
    """Return the data set with other training and validation parts of the same shares, dealt at
    random within the same tolerance.

    All that comes from the training part (mean, deviation and range of the channels) is measured
    anew.
    """
    return with_training_part(replace(data, parts=dealt_parts(data, seed)))


def dealt_parts(data: Dataset, seed: int) -> Mapping[str, np.ndarray]:
    """Return the parts that `resplit` gives; costs no reading of pixels."""
    train = data.parts["train"]
    validation = data.parts["validation"]
    open_frames = np.sort(np.concatenate([train, validation]))
    _, groups = np.unique(data.groups[open_frames], return_inverse=True)
    share = len(validation) / len(open_frames)
    dealt = deal(
        groups, data.class_pixels[open_frames][:, list(data.spec.scored)], (1 - share, share), seed
    )
    return {**data.parts, "train": open_frames[dealt[0]], "validation": open_frames[dealt[1]]}


def trained_on_everything(data: Dataset) -> Dataset:
    """Return the data set with every labelled frame in its training part; the other parts stay, and
    measure nothing any more.
    """
    everything = np.sort(np.concatenate([*data.parts.values()]))
    return with_training_part(replace(data, parts={**data.parts, "train": everything}))


def with_training_part(data: Dataset) -> Dataset:
    """Return the data set with all that comes from its training part measured on the part that it
    has now.
    """
    seen = training_pixels(data.images[data.parts["train"]])
    measured = {"mean": seen.mean, "std": seen.deviation, "ranges": seen.ranges}
    return replace(data, spec=data.spec.model_copy(update=measured))
