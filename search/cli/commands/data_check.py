"""``search data check``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from search.cli.action import done_by, with_options
from search.cli.frame_options import FrameOptions
from search.cli.options import Force, Json, Source


@with_options(FrameOptions)
@done_by("search.cli.actions.data_check.check")
def command(
    asked: FrameOptions,
    source: Source,
    picture: Annotated[
        Optional[Path],  # noqa: UP045  # typer reads the annotation
        typer.Option(
            "--picture", help="PNG to write: histograms of the classes and of mean pixel values."
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Say what a data set holds, what would be dropped, how it would be split, and every problem.
    Writes nothing else.

    \b
    Example:
      search data check frames.npz --picture frames.png
    """
