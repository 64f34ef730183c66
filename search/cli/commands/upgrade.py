"""``search upgrade``."""

from search.cli.action import done_by
from search.cli.options import Home, Storage


@done_by("search.cli.actions.upgrade.upgrade")
def command(storage: Storage = "", home: Home = None) -> None:
    """Bring the tables that an older version of this program made up to this one; nothing is lost.

    It may be killed and run again. Workers of before go on where the tables still allow it, and else leave, each giving its
    trial back.

    \b
    Example:
      search upgrade --storage postgresql://user@host/db
    """
