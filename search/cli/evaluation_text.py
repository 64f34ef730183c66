"""What ``search evaluate`` says of a bundle: JSON for scripts, a table for people."""

import math
from typing import TYPE_CHECKING, TypeAlias

from rich.table import Table

from objectives.config.score import WORDS
from objectives.errors import one_line
from objectives.statistics.scores import mean_over
from search.terminal.console import open_console

if TYPE_CHECKING:
    import numpy as np

    from objectives.bundle.evaluate import BundleEvaluation

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | None"


def evaluation_json(evaluation: "BundleEvaluation") -> dict[str, JsonValue]:
    """Return the answer for scripts, where ``per_class`` is IoU, whatever the score; a class that does
    not occur has no IoU, precision, recall or Dice in it.
    """
    classes = evaluation.inspection.classes
    calibration = evaluation.inspection.calibration
    names = evaluation.spec.class_names
    support = classes.support.tolist()
    fractions = {name: each for name, each in _measures(evaluation).items() if name != "iou"}
    return {
        "score": evaluation.evaluation.score,
        "score_is": evaluation.spec.score_words,
        "per_class": _by_name(classes.iou, names),
        "frames": evaluation.own + evaluation.foreign,
        "own": evaluation.own,
        "foreign": evaluation.foreign,
        "other_parts": evaluation.other_parts,
        "spoilt": evaluation.spoilt,
        "split": evaluation.split,
        "notes": list(evaluation.notes),
        **{key: _by_name(values, names) for key, values in fractions.items()},
        "support": {
            names[label]: support[label]
            for label in range(len(names))
            if label != evaluation.spec.ignore_label
        },
        "mean": {key: _known(value) for key, value in _means(evaluation).items()},
        "confusion": {
            "class_names": list(names),
            "pixels": evaluation.evaluation.confusion_KK.tolist(),
        },
        "calibration_error": _known(calibration.error),
        "reliability": [
            {
                "low": row.low,
                "high": row.high,
                "pixels": row.pixels,
                "confidence": _known(row.confidence),
                "accuracy": _known(row.accuracy),
            }
            for row in calibration.table
        ],
        "worst_frames": [
            {"name": frame.name, "index": frame.index, "score": frame.score}
            for frame in evaluation.worst
        ],
    }


def print_evaluation(evaluation: "BundleEvaluation") -> None:
    """Print the score, a table of the scored classes, the calibration error, the frames with the worst
    score, and the notes.
    """
    console = open_console()
    console.print(
        f"{evaluation.spec.score_words} {evaluation.evaluation.score:.4f} on "
        f"{evaluation.own + evaluation.foreign} frames"
    )
    console.print(_table(evaluation))
    calibration = evaluation.inspection.calibration
    if not math.isnan(calibration.error):
        console.print(
            f"expected calibration error {calibration.error:.4f} ({len(calibration.table)} bins)"
        )
    if evaluation.worst:
        worst = ", ".join(
            f"{one_line(frame.name)} ({frame.score:.4f})" for frame in evaluation.worst
        )
        console.print(
            f"frames with the lowest {evaluation.spec.score_words} over their own classes: {worst}"
        )
    for note in evaluation.notes:
        console.print(f"note: {note}")


def _table(evaluation: "BundleEvaluation") -> Table:
    names = evaluation.spec.class_names
    measures = _measures(evaluation)
    heads = [WORDS.get(name, name) for name in measures]
    table = Table("class", *heads, "pixels", box=None, pad_edge=False)
    for label in evaluation.spec.scored:
        values = [_shown(values_K[label]) for values_K in measures.values()]
        support = evaluation.inspection.classes.support[label]
        table.add_row(names[label], *values, str(support))
    table.add_row("mean", *(_shown(value) for value in _means(evaluation).values()))
    return table


def _measures(evaluation: "BundleEvaluation") -> "dict[str, np.ndarray]":
    """Return each measure of every class, (K,), and that of the score, which may be another."""
    classes = evaluation.inspection.classes
    own = {
        "iou": classes.iou,
        "precision": classes.precision,
        "recall": classes.recall,
        "dice": classes.dice,
    }
    return own | {evaluation.spec.score.by_class: evaluation.inspection.measured_K}


def _means(evaluation: "BundleEvaluation") -> dict[str, float]:
    """Means over the scored classes that occur, of which the score may be one."""
    scored = evaluation.spec.scored
    return {name: mean_over(each, scored) for name, each in _measures(evaluation).items()}


def _by_name(values_K: "np.ndarray", names: tuple[str, ...]) -> dict[str, JsonValue]:
    return {
        name: value
        for name, value in zip(names, values_K.tolist(), strict=True)
        if not math.isnan(value)
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
