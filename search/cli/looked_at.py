"""A study that a command only looks at."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.database.connections import reachable
from search.place import open_database
from search.study.known import Look, look_at


@contextmanager
def looked_at(name: str, storage: str, home: Path | None) -> Iterator[Look]:
    """Yield a study to look at.

    Raises:
        UserError: There is none of this name, or this program cannot read it.
        WorldError: The database does not answer.
    """
    with open_database(storage, home) as url, reachable(url):
        study = look_at(url, name)
        try:
            yield study
        finally:
            study.engine.dispose()
