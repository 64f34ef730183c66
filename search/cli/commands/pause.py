"""``search pause``."""

from search.cli.action import done_by
from search.cli.options import Home, Storage, StudyName


@done_by("search.cli.actions.control.pause")
def command(study: StudyName = "default", storage: Storage = "", home: Home = None) -> None:
    """Let workers put their trials aside after the epoch at hand, and wait; `search resume` goes on
    with the same trials.

    \b
    Example:
      search pause --study mars --storage postgresql://user@host/db
    """
