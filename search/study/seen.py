"""Which trials of a study a reader has read for good, so that no look reads a whole study again.

What has ended stays as it is. So a reader needs the trials that it has not read yet, and those that
were open when it read them. Trials of one study get rising ids in the order of their commits: who
creates one holds the study's row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

# of a query on ``trials``: those that must be read
UNREAD = "(trials.trial_id > :after OR trials.trial_id = ANY(:open))"


@dataclass(frozen=True)
class Seen:
    """What has been read by now: every trial up to ``after``, for good unless it is in ``open``.

    It holds for one server: another one may lack what the one before it had promised.
    """

    server: datetime | None = None  # when it started
    after: int = -1
    open: tuple[int, ...] = ()

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of `UNREAD`."""
        return {"after": self.after, "open": list(self.open)}

    def then(self, newest: int, still_open: Iterable[int]) -> "Seen":
        """Return what has been read after a further look, whose newest trial this is."""
        return Seen(self.server, max(self.after, newest), tuple(sorted(still_open)))
