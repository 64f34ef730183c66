"""``search evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import BundleDir, Device, Home, Json, Storage


@done_by("search.cli.actions.evaluate.evaluate")
def command(
    bundle: BundleDir,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="Labelled frames: npz, or folder with images/ and masks/."
        ),
    ],
    split: Annotated[
        str,
        typer.Option("--split", help="Which of its own study's frames count: validation or test."),
    ] = "validation",
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures", help="New folder for PNGs: the worst frames, confusion, reliability."
        ),
    ] = None,
    own_size: Annotated[
        bool,
        typer.Option(
            "--own-size",
            help="Score frames of other sizes than the study's at their own, as predict writes "
            "masks; else at the study's.",
        ),
    ] = False,
    as_json: Json = False,
    device: Device = "auto",
    storage: Storage = "",
    home: Home = None,
) -> None:
    """Score a bundle on labelled frames; of its own study's frames only the validation part counts.

    \b
    Example:
      search evaluate out frames.npz --json
      search evaluate out frames.npz --pictures worst
    """
