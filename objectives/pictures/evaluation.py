"""A bundle's evaluation as a folder of PNGs: the frames with the worst score, the confusion matrix,
the reliability diagram.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from objectives.bundle.evaluate import BundleEvaluation
from objectives.errors import UserError, WorldError, one_line
from objectives.outputs.atomic import directory_at_once
from objectives.pictures.charts import confusion_picture, reliability_picture
from objectives.pictures.panels import frame_panel

LONGEST_TITLE = 90  # characters of a frame's name that fit above its picture


def refuse_pictures_folder(folder: Path) -> None:
    """Refuse a ``folder`` for pictures that holds something; asked before the work begins.

    Raises:
        UserError: Something stands there.
        WorldError: It cannot be made.
    """
    try:
        if folder.is_file():
            raise UserError(f"{folder} is a file; choose a folder for --pictures")
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty; choose a new folder for --pictures")
        above = next(
            parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists()
        )
        writable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise WorldError(
            f"cannot write {folder}: {error.strerror}; choose another --pictures"
        ) from error
    if not writable:
        raise WorldError(
            f"cannot write {folder}: {above} is no folder that may be written to; choose another "
            f"--pictures"
        )


def write_pictures(evaluation: BundleEvaluation, folder: Path) -> int:
    """Write all pictures to ``folder``, which appears whole or not at all; returns how many.

    Raises:
        WorldError: It cannot be written.
    """
    with directory_at_once(folder) as draft:
        count = 0
        for name, png in draw_evaluation(evaluation):
            (draft / name).write_bytes(png)
            count += 1
    return count


def draw_evaluation(evaluation: BundleEvaluation) -> Iterator[tuple[str, bytes]]:
    """File names and PNGs: ``worst-1.png`` is the frame with the lowest score."""
    for rank, frame in enumerate(evaluation.worst, start=1):
        title = f"{one_line(frame.name, LONGEST_TITLE)}: {evaluation.spec.score_words} {frame.score:.4f}"
        yield (
            f"worst-{rank}.png",
            frame_panel(frame.image_HWC, frame.mask_HW, frame.labels_HW, evaluation.spec, title),
        )
    yield "confusion.png", confusion_picture(evaluation.evaluation.confusion_KK, evaluation.spec)
    yield "reliability.png", reliability_picture(evaluation.inspection.calibration)
