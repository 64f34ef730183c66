"""The place where a command works: a database, an artifact store and a cache, as named or of a
home.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from objectives.errors import UserError


@dataclass(frozen=True)
class Place:
    """Where a command works: a database, an artifact store and a cache folder."""

    storage: str  # empty: the embedded database of a home that is not started yet
    artifacts: str
    cache: Path
    home: Path | None = None  # of the embedded database, where it is one


def name_place(
    storage: str, artifacts: str = "", home: Path | None = None, cache: Path | None = None
) -> Place:
    """Return the named places, with those of ``home`` for what is not named; nothing is touched."""
    return Place(storage, name_artifacts(artifacts, home), name_cache(cache, home))


def name_artifacts(artifacts: str, home: Path | None) -> str:
    """Return the named artifact store, else that of ``home``: a user without a home needs none
    where all is named.
    """
    return artifacts or str(home_folder(home) / "artifacts")


def name_cache(cache: Path | None, home: Path | None) -> Path:
    """Return the named cache folder, else that of ``home``."""
    return cache or home_folder(home) / "cache"


@contextmanager
def open_place(
    storage: str,
    artifacts: str = "",
    home: Path | None = None,
    cache: Path | None = None,
    *,
    make: bool = False,
) -> Iterator[Place]:
    """Yield the named places, as `name_place`; an embedded database runs meanwhile, and with
    ``make`` it is made.

    Raises:
        UserError: Without a ``storage`` when ``home`` holds no database and none is to be made.
    """
    with open_database(storage, home, make=make) as url:
        place = name_place(url, artifacts, home, cache)
        yield place if storage else replace(place, home=home_folder(home))


@contextmanager
def open_database(storage: str, home: Path | None = None, *, make: bool = False) -> Iterator[str]:
    """Yield the URL of the named database, or of the embedded one, as `open_place`, for a command
    that needs nothing else.
    """
    if storage:
        yield storage
        return
    from search.database.embedded import embedded_postgres, is_made

    folder = home_folder(home)
    if not make and not is_made(folder):
        raise UserError(
            f"no --storage is given, and {folder} holds no database yet: run `search init` first, "
            f"or name a --home"
        )
    with embedded_postgres(folder) as url:
        yield url


def home_folder(home: Path | None) -> Path:
    """Return the folder of embedded studies: the one that is named, else the user's own."""
    from search.database.embedded import default_home

    return home or default_home()
