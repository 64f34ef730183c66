"""How many trials a study has in which state, and what they have spent, without counting anew those
that have ended.
"""

import threading
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self

from sqlalchemy import Connection, RowMapping, text

from search.database.predicates import DEVICE_SECONDS, LIVE_LEASE
from search.study.record import CAUSE, INFEASIBLE
from search.study.seen import UNREAD, Seen

# a trial is settled when it has ended and its worker has given it back: nothing of it changes
COUNTS = text(f"""
    SELECT settled, count(*) AS total,
           count(*) FILTER (WHERE state = 'WAITING') AS waiting,
           count(*) FILTER (WHERE state = 'RUNNING') AS running,
           count(*) FILTER (WHERE state = 'RUNNING' AND held) AS held,
           count(*) FILTER (WHERE state = 'PRUNED' AND cause = '{INFEASIBLE}') AS infeasible,
           count(*) FILTER (WHERE state = 'FAIL' AND cause IS NULL) AS foreign_failures,
           coalesce(sum(spent_s), 0)::float AS spent_s,
           max(trial_id) AS newest, array_agg(trial_id) FILTER (WHERE NOT settled) AS open
    FROM (
        SELECT trials.trial_id, trials.state, {DEVICE_SECONDS} AS spent_s,
               {LIVE_LEASE} AND owner <> :but AS held,
               trials.state NOT IN ('RUNNING', 'WAITING') AND coalesce(owner, '') = '' AS settled,
               CASE WHEN trials.state IN ('PRUNED', 'FAIL') THEN (
                   SELECT value_json FROM trial_user_attributes AS told
                   WHERE told.trial_id = trials.trial_id AND key = '{CAUSE}') END AS cause
        FROM trials LEFT JOIN search_lease USING (trial_id)
        WHERE trials.study_id = :study_id AND {UNREAD}
    ) AS unread GROUP BY settled
""")


@dataclass(frozen=True)
class Counts:
    """A study's trials by state, and the seconds that workers have held them."""

    total: int = 0
    waiting: int = 0
    running: int = 0
    held: int = 0
    infeasible: int = 0
    foreign_failures: int = 0
    spent_s: float = 0.0

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """Return the counts of a row of the query."""
        return cls(**{each.name: row[each.name] for each in fields(cls)})

    def __add__(self, other: "Counts") -> "Counts":
        names = [each.name for each in fields(self)]
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Tally:
    """The counts of one study: kept of the trials that are settled, read anew of the others."""

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self.seen = Seen()
        self._settled = Counts()
        self._lock = threading.Lock()

    def read(self, connection: Connection, server: datetime, but: str) -> Counts:
        """Return the present counts. ``server`` is when the server was started; what worker ``but``
        holds counts as held by nobody.
        """
        with self._lock:
            if server != self.seen.server:
                self.seen = Seen(server)
                self._settled = Counts()
            which = {"study_id": self.study_id, "but": but, **self.seen.parameters}
            rows = connection.execute(COUNTS, which).mappings().all()
            present = self._settled
            for row in rows:
                counts = Counts.of(row)
                present += counts
                if row["settled"]:
                    self._settled += counts
            newest = max((row["newest"] for row in rows), default=self.seen.after)
            still_open = [trial_id for row in rows for trial_id in row["open"] or ()]
            self.seen = self.seen.then(newest, still_open)
            return present
