"""The classes of all frames of a source: those that are declared, or that the labels make; which are scored, and
how many pixels each frame has of them.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from objectives.config.score import Score, label_of
from objectives.data.options import DataOptions
from objectives.data.preparing.facts import Facts
from objectives.data.preparing.undeclared import UNDECLARED, Held, Undeclared, among
from objectives.data.reading.classes import MOST_CLASSES, Classes
from objectives.data.reading.frames import FrameSource
from objectives.errors import Problem


def settle_classes(
    source: FrameSource, facts: Mapping[int, Facts], ignore: str
) -> tuple[Classes, list[Problem], str]:
    """Return the declared classes, or those that the labels found make; each value outside them;
    and the classes.yaml that would accept those.
    """
    classes = declared = source.classes
    if classes is None:
        labels = sorted(
            {label for frame in facts.values() for label in frame.labels if str(label) != ignore}
        )
        count = labels[-1] + 1 if labels else 0
        # one absent label is reported as a class absent from training
        if len(labels) < count - 1 or count > MOST_CLASSES:
            count = next(label for label in range(count + 1) if label not in labels)
        classes = source.guess(max(count, 2))
    classes = classes.ignoring(ignore)
    if len(classes.names) > MOST_CLASSES:
        return (
            classes,
            [
                Problem(
                    "ignore",
                    f"there must be at most {MOST_CLASSES} classes with the ignored one",
                    ignore,
                )
            ],
            "",
        )
    masks = {
        source.place(index): Held.of(
            dict(zip(frame.labels, frame.pixels, strict=True)), frame.undeclared
        )
        for index, frame in facts.items()
    }
    undeclared = Undeclared.of(masks, classes)
    rule = UNDECLARED if declared is None else among(classes)
    remedy = undeclared.remedy(declared, masks.values()) if source.layout_text else ""
    return classes, list(undeclared.problems(rule)), remedy


def class_option_problems(options: DataOptions, classes: Classes) -> Iterator[Problem]:
    """Yield the options that do not go with the classes."""
    if options.min_labelled > 0 and classes.ignore_label is None:
        rule = "must be 0 for data without an ignored label, where every pixel is labelled"
        yield Problem("min_labelled", rule, f"{options.min_labelled:g}")
    yield from _ignored_value(options.ignore, classes)
    labels = range(len(classes.names))
    for word in options.scored:
        label = label_of(str(word), classes.names)
        if label not in labels:
            known = ", ".join(f"{each} ({classes.names[each]})" for each in labels)
            yield Problem("scored", f"must be classes, by label or name: {known}", str(word))
        elif label == classes.ignore_label:
            yield Problem("scored", "the ignored label cannot be scored", str(word))
    scored = scored_labels(options, classes)
    if set(scored) <= set(labels):
        yield from Score.read(options.measure).class_problems(classes.names, scored)


def _ignored_value(ignore: str, classes: Classes) -> Iterator[Problem]:
    """Yield that a label is asked for by one of the stored values that lead to it."""
    raw = classes.raw_ignore
    values = classes.values
    if not ignore or raw is None or not values.entries or values.by_colour:
        return
    labels_HW, undeclared = values.read(np.array([[raw]], np.uint16))
    label = int(labels_HW[0, 0])
    if raw != classes.ignore_label and label != raw and not undeclared:
        name = f"label {label}, {classes.names[label]}"
        yield Problem("ignore", f"must be a label; {raw} is a stored value of {name}", ignore)


def scored_labels(options: DataOptions, classes: Classes) -> tuple[int, ...]:
    """Return the labels that are scored, ascending; a word that is none is -1."""
    labels = {label_of(str(word), classes.names) for word in options.scored}
    named = sorted(-1 if label is None else label for label in labels)
    return tuple(named) or tuple(
        label for label in range(len(classes.names)) if label != classes.ignore_label
    )


def pixel_counts(facts: Sequence[Facts], classes: Classes) -> np.ndarray:
    """Pixels per frame and stored label, (len(facts), K) int64; labels outside the classes are left
    out.
    """
    counts = np.zeros((len(facts), len(classes.names)), np.int64)
    for row, frame in zip(counts, facts, strict=True):
        for label, pixels in zip(frame.labels, frame.counts, strict=True):
            stored = classes.ignore_label if label == classes.raw_ignore else label
            if stored is not None and stored < len(row):
                row[stored] += pixels
    return counts
