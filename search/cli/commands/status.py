"""``search status``."""

from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import Home, Json, Storage, StudyName


@done_by("search.cli.actions.status.status")
def command(
    study: StudyName = "default",
    storage: Storage = "",
    home: Home = None,
    as_json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay and update until the study is done.")
    ] = False,
) -> None:
    """Budget, trials by state, the best so far with per-class IoU, and the workers.

    \b
    Example:
      search status --study mars --storage postgresql://user@host/db --json
    """
