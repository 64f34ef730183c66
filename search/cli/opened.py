"""A study as most commands need it: opened where the options say it is, and closed whatever
happens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.database.connections import reachable
from search.place import Place, open_database, open_place
from search.study.stored import Study, open_study


@contextmanager
def opened_study(name: str, storage: str, home: Path | None) -> Iterator[tuple[Study, str]]:
    """Yield a study and the URL of its database.

    Raises:
        UserError: There is none of this name, or this program cannot run it.
        WorldError: The database does not answer.
    """
    with open_database(storage, home) as url, reachable(url):
        study = open_study(url, name)
        try:
            yield study, url
        finally:
            study.close()


@contextmanager
def opened_place(
    name: str, storage: str, artifacts: str, home: Path | None, cache: Path | None
) -> Iterator[tuple[Study, Place]]:
    """Yield a study, with the database, the artifact store and the cache that it has here; raises
    as `opened_study`.
    """
    with open_place(storage, artifacts, home, cache) as place, reachable(place.storage):
        study = open_study(place.storage, name)
        try:
            yield study, place
        finally:
            study.close()
