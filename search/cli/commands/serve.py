"""``search serve``."""

from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import Artifacts, Home, Storage


@done_by("search.cli.actions.serve.serve")
def command(
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Name or address of this machine.  [default: the machine's name]"
        ),
    ] = "",
    port: Annotated[
        int,
        # lower ones are root's, and the server never is
        typer.Option("--port", min=1024, max=65535, help="Port to listen on."),
    ] = 5432,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=1, max=4096, help="For so many workers there are connections."
        ),
    ] = 256,
    artifacts: Artifacts = "",
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Serve nothing; say whether the database of --storage, or of --home, answers.",
        ),
    ] = False,
    storage: Storage = "",
    home: Home = None,
) -> None:
    """The embedded database for workers on other hosts, until Ctrl-C or SIGTERM; prints the two
    settings that they need.

    Connections need a password and are not encrypted: use it inside a cluster's own network, or
    through SSH.

    \b
    Example:
      search serve --home /shared/search --host login1
    """
