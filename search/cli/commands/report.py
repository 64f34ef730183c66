"""``search report``."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import Artifacts, Force, Home, Storage, StudyName


@done_by("search.cli.actions.report.report")
def command(
    study: StudyName = "default",
    out: Annotated[Path, typer.Option("--out", help="The HTML file.")] = Path("report.html"),
    storage: Storage = "",
    artifacts: Artifacts = "",
    force: Force = False,
    home: Home = None,
) -> None:
    """Write a study as one HTML file for people: scores, curves, what mattered, pictures, costs. It needs no network.

    A study that still runs is reported as it is now.

    \b
    Example:
      search report --study mars --storage postgresql://user@host/db --artifacts /shared/artifacts --out report.html
    """
