"""``search resume``."""

from search.cli.action import done_by
from search.cli.options import Home, Storage, StudyName


@done_by("search.cli.actions.control.resume")
def command(study: StudyName = "default", storage: Storage = "", home: Home = None) -> None:
    """Go on with a paused or stopped study; workers that have left must be started again.

    \b
    Example:
      search resume --study mars --storage postgresql://user@host/db
    """
