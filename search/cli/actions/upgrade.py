"""The upgrade of a database's tables."""

from pathlib import Path

import typer

from search.database.upgrading import upgrade as upgrade_tables
from search.place import open_database


def upgrade(storage: str, home: Path | None) -> None:
    """Bring the tables up to this program's version, and say from which."""
    with open_database(storage, home) as url:
        typer.echo(upgrade_tables(url))
