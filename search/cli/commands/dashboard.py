"""``search dashboard``."""

from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import Artifacts, Home, Storage


@done_by("search.cli.actions.dashboard.dashboard")
def command(
    storage: Storage = "",
    artifacts: Artifacts = "",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; the dashboard has no login.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8080,
    allowed_host: Annotated[
        list[str],
        typer.Option(
            "--allowed-host",
            envvar="SEARCH_ALLOWED_HOSTS",
            help="Name that it is reached by from elsewhere. Repeats.",
        ),
    ] = [],  # noqa: B006  # typer's way to say that an option repeats
    wait: Annotated[
        str,
        typer.Option(
            "--wait",
            envvar="SEARCH_WAIT",
            help="How long to wait for a database that does not answer yet.",
        ),
    ] = "5m",
    home: Home = None,
) -> None:
    """optuna-dashboard on the studies of a database, with the trials' pictures. Ctrl-C ends it.

    \b
    Example:
      search dashboard --storage postgresql://user@host/db --artifacts /shared/artifacts
    """
