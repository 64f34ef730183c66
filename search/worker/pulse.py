"""A worker's pulse: a timer thread that renews its lease and its place in the roster, however long
an epoch takes.
"""

import threading
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from search.database.connections import LeaseLostError
from search.trials import leases, roster
from search.trials.leases import Lease
from search.trials.roster import RosterEntry


class Pulse:
    """Beats while the ``with`` block lasts. An outage of the database stops no beat; the next one
    may succeed.
    """

    def __init__(self, engine: Engine, member: RosterEntry, lease_s: float) -> None:
        self.engine = engine
        self.member = member
        self.lease_s = lease_s
        self.lost: LeaseLostError | None = None
        self._lease: Lease | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def hold(self, lease: Lease | None) -> None:
        """Renew this lease from now on; None renews no lease."""
        self.lost = None
        self._lease = lease

    def _run(self) -> None:
        while not self._over.wait(self.lease_s / 6):
            lease = self._lease
            try:
                self._beat(lease)
            except LeaseLostError as error:
                if lease is self._lease:
                    self.lost = error
            except SQLAlchemyError:
                continue

    def _beat(self, lease: Lease | None) -> None:
        """Say that the worker is alive, and renew its lease, in one transaction.

        Raises:
            LeaseLostError: Another worker has the trial; that this one is alive is written all
                the same.
        """
        lost = None
        with self.engine.begin() as connection:
            roster.beat(connection, self.member)
            try:
                if lease is not None:
                    leases.renew(connection, lease, self.lease_s)
            except LeaseLostError as error:
                lost = error
        if lost is not None:
            raise lost

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
