"""The measures of a class of which a study's score may be made: our own, and those of other packages.
Imports no torch.
"""

from collections.abc import Iterator

import numpy as np

from objectives.config.foreign import ForeignScore, foreign_part, lacking_parts
from objectives.config.measure_names import OWN, measure_names, measure_package
from objectives.config.score import Score
from objectives.errors import Problem, ProblemsError, UserError, first_line, listed
from objectives.statistics.scores import (
    Fractions,
    Measure,
    Pixels,
    dice,
    iou,
    precision,
    recall,
)

MEASURES: dict[str, Measure] = dict(zip(OWN, (iou, dice, precision, recall), strict=True))

# hits, true and predicted pixels of classes that are never hit, all right, and taken for another
PROBE = tuple(np.array(counts) for counts in ([0, 0, 5, 3], [4, 5, 5, 6], [0, 9, 5, 9]))


class BadScoreError(UserError):
    """A score of another package gives what is none."""


def measure_named(name: str, package: str) -> Measure:
    """Return a measure as a study names it, with the package that it had it from.

    Raises:
        ProblemsError: That package is not installed, or in another version.
        UserError: It cannot be used, or another version of this program has it.
    """
    if name in OWN and not package:
        return MEASURES[name]
    if not package:
        raise UserError(
            f"the score {name!r} is none of this program's: use the version that wrote it, or "
            f"install the package that brings it"
        )
    if problems := lacking_parts({f"scores.{name}": package}):
        raise ProblemsError("score", problems)
    part = foreign_part("scores", name)
    try:
        score = part.part()
    except Exception as error:  # of somebody else's code
        raise BadScoreError(
            f"the score {name!r} of {package} cannot be made ({first_line(error)}): mend the "
            f"package"
        ) from error
    return _Checked(name, package, score)


def measure_problems(score: str) -> Iterator[Problem]:
    """Yield why a study cannot choose by a score, whatever the classes."""
    try:
        name = Score.read(score).measure
    except ValueError as error:
        yield Problem("score", str(error), score)
        return
    if name not in measure_names():
        yield Problem(
            "score",
            f"must be one of {', '.join(measure_names())}, or come from a package: install it",
            name,
        )
    elif fault := _fault(name):
        yield Problem("score", "must give a fraction in 0..1 for each class", fault)


def _fault(name: str) -> str:
    """Return what is wrong with what a measure gives for a few made-up classes, in words; empty for
    nothing.
    """
    if name in OWN:
        return ""
    try:
        measure = measure_named(name, measure_package(name))
        together = measure(*PROBE)
        alone = [measure(*(counts[[place]] for counts in PROBE))[0] for place in range(4)]
        # expected counts of pixels, and those of resampled frames, are floats
        of_floats = measure(*(counts.astype(np.float64) for counts in PROBE))
    except UserError as error:
        return str(error)
    if not np.allclose(together, alone):
        rule = "must take each class by itself, whatever others stand beside it"
    elif not np.allclose(together, of_floats):
        rule = "must give the same for floats as for whole numbers"
    else:
        return ""
    return f"the score {name!r} of {measure_package(name)} {rule}: mend the package"


class _Checked:
    """A measure of another package, whose fractions are looked at before anything is chosen by
    them.
    """

    def __init__(self, name: str, package: str, score: ForeignScore) -> None:
        self.what = f"the score {name!r} of {package}"
        self.score = score

    def __call__(self, hits: Pixels, true: Pixels, predicted: Pixels) -> Fractions:
        try:
            values = np.asarray(self.score.compute(hits, true, predicted))
        except Exception as error:  # of somebody else's code
            raise BadScoreError(
                f"{self.what} fails ({first_line(error)}): mend the package"
            ) from error
        if values.shape != true.shape or values.dtype.kind not in "fiu":
            raise BadScoreError(
                f"{self.what} must give one number for each class, {true.size}, got "
                f"{values.size} of type {values.dtype}: mend the package"
            )
        wrong = values[~((values >= 0) & (values <= 1))]
        if wrong.size:
            raise BadScoreError(
                f"{self.what} must give fractions in 0..1, got {listed(wrong.tolist())}: mend the "
                f"package"
            )
        return values.astype(np.float64)
