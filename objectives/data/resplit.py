"""Other training parts of a data set: training and validation dealt anew or into folds by whole
groups, or all frames at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from objectives.data.dataset import Dataset
from objectives.data.options import AS_THEY_ARE, Dealing
from objectives.data.preparing.split import deal
from objectives.data.preparing.training_pixels import training_pixels
from objectives.errors import Problem, listed


def dealt(data: Dataset, dealing: Dealing) -> Dataset:
    """Return the data set with the training and validation parts of a dealing.

    All that comes from the training part (mean, deviation and range of the channels) is measured
    anew.
    """
    if dealing == AS_THEY_ARE:
        return data
    return with_training_part(replace(data, parts=dealt_parts(data, dealing)))


def dealt_parts(data: Dataset, dealing: Dealing) -> Mapping[str, np.ndarray]:
    """Return the parts that `dealt` gives; costs no reading of pixels.

    Anew they are of the same shares, dealt at random within the same tolerance as those of the
    study. Folds are those that `DataOptions.folds` gives of the same frames with the same seed.
    """
    if dealing == AS_THEY_ARE:
        return data.parts
    if dealing.folds:
        parts = _deal(data, (1.0 / dealing.folds,) * dealing.folds, dealing.seed)
        validation = parts.pop(dealing.fold - 1)
        train = np.sort(np.concatenate(parts))
    else:
        share = len(data.parts["validation"]) / len(_open_frames(data))
        train, validation = _deal(data, (1 - share, share), dealing.seed)
    return {**data.parts, "train": train, "validation": validation}


def fold_problems(data: Dataset, folds: int, seed: int) -> Iterator[Problem]:
    """Yield why training and validation cannot be dealt into so many folds."""
    groups = len(np.unique(data.groups[_open_frames(data)]))
    if folds > groups:
        rule = f"must be at most the {groups} groups outside the test part, which stay whole"
        yield Problem("--folds", rule, str(folds))
        return
    scored = list(data.spec.scored)
    for number in range(1, folds + 1):
        parts = dealt_parts(data, Dealing(seed, folds, number))
        counts = {part: data.class_pixels[parts[part]][:, scored].sum(axis=0) for part in parts}
        if not counts["validation"].any():
            rule = "every fold must have labelled pixels of a scored class: choose fewer folds"
            yield Problem("--folds", rule, f"none in fold {number} of {folds}")
        absent = [
            data.spec.class_names[k]
            for k, count in zip(scored, counts["train"], strict=True)
            if not count
        ]
        if absent:
            rule = "every scored class must be in the training part of each fold"
            yield Problem("--folds", rule, f"no {listed(absent)} beside fold {number} of {folds}")


def _deal(data: Dataset, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Return the frames of each share of all that are not in the test part."""
    frames = _open_frames(data)
    _, groups = np.unique(data.groups[frames], return_inverse=True)
    pixels = data.class_pixels[frames][:, list(data.spec.scored)]
    return [frames[each] for each in deal(groups, pixels, shares, seed)]


def _open_frames(data: Dataset) -> np.ndarray:
    return np.sort(np.concatenate([data.parts["train"], data.parts["validation"]]))


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
