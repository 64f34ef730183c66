"""``search stop``."""

from search.cli.action import done_by
from search.cli.options import Home, Storage, StudyName


@done_by("search.cli.actions.control.stop")
def command(study: StudyName = "default", storage: Storage = "", home: Home = None) -> None:
    """End a study now: running trials are left after the epoch at hand, unfinished, none begins,
    workers leave.

    `search export-best` can have their weights meanwhile; `search resume` opens it again and goes
    on with them.

    \b
    Example:
      search stop --study mars --storage postgresql://user@host/db
    """
