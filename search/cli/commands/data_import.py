"""``search data import``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from objectives.importing.folder import Unlabelled
from objectives.importing.formats import Form
from search.cli.action import done_by


@done_by("search.cli.actions.data_import.import_export")
def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="EXPORT",
            help="COCO or Label Studio JSON, YOLO data.yaml, Kaggle's CSV of runs, or a folder of LabelMe JSONs.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="New folder for images, masks and classes.yaml.")
    ],
    images: Annotated[
        Optional[Path],  # noqa: UP045  # typer reads the annotation
        typer.Option(
            "--images", help="Where the images lie, if not beside the export or in images/ there."
        ),
    ] = None,
    form: Annotated[
        Optional[Form],  # noqa: UP045
        typer.Option("--format", help="What the export is, where it cannot be told by itself."),
    ] = None,
    unlabelled: Annotated[
        Unlabelled,
        typer.Option(help="What pixels of no object are: class 0, background, or ignored."),
    ] = "background",
) -> None:
    """Turn an export of COCO, LabelMe, YOLO, Label Studio or Kaggle into a folder of images and masks.

    \b
    Example:
      search data import annotations.json --images photos --out frames
    """
