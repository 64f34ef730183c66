"""The dashboard, from its options to the server."""

from pathlib import Path

from search.cli.values import parse_duration
from search.dashboard.app import open_tables, serve
from search.dashboard.gate import parse_names
from search.database.connections import reachable
from search.place import name_artifacts, open_database


def dashboard(
    storage: str,
    artifacts: str,
    host: str,
    port: int,
    allowed_host: list[str],
    wait: str,
    home: Path | None,
) -> None:
    """Serve the studies of a database until Ctrl-C."""
    wait_s = parse_duration(wait, "--wait", least_s=0)
    names = parse_names(allowed_host)
    store = name_artifacts(artifacts, home)
    with open_database(storage, home) as url, reachable(url):
        serve(open_tables(url, wait_s), store, host, port, names)
