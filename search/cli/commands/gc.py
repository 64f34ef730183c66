"""``search gc``."""

from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import Artifacts, Cache, Home, Json, Storage


@done_by("search.cli.actions.gc.gc")
def command(
    storage: Storage = "",
    artifacts: Artifacts = "",
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", help="Younger weights and pictures stay: they may be in the making."
        ),
    ] = "1h",
    prepared: Annotated[
        bool,
        typer.Option(
            "--prepared",
            help="Also what no study uses of --cache, untouched for a day: prepared data, copies of weights.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Remove what no trial of any study in the database needs, from the database and the artifact
    store.

    Weights of the best trials and of the control stay, as do those of every trial that has not
    ended. It may be killed and run again at any moment, also while workers run. A store that two
    databases share is left alone.

    \b
    Example:
      search gc --storage postgresql://user@host/db --artifacts /shared/artifacts --dry-run
    """
