"""``search demo``."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import Force, Home


@done_by("search.cli.actions.export.demo")
def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")] = Path(
        "demo-bundle"
    ),
    trials: Annotated[int, typer.Option("--trials", min=1, max=1000, help="Trials in all.")] = 10,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Worker processes.")
    ] = 2,
    force: Force = False,
    home: Home = None,
) -> None:
    """Everything in minutes on a laptop: generated terrain, embedded Postgres, workers, progress,
    export.

    \b
    Example:
      search demo
    """
