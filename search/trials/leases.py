"""Leases: a worker's right to run one trial, taken, renewed and given back by the database's clock.

A lease's fence number rises with every claim. Whoever writes for a trial checks its own number in
the same transaction, so a worker that slept through its lease can write nothing over its
successor's results.
"""

from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, Engine, TextClause, func, text, update

from search.database.connections import LeaseLostError
from search.database.tables import LEASE

LEASE_S = 30.0
NOBODY = ""  # the owner of a trial that was given back

NOW = func.clock_timestamp()
SPENT = LEASE.c.spent_s + func.extract("epoch", NOW - LEASE.c.renewed_at)


@dataclass(frozen=True)
class Lease:
    """The right of ``owner`` to run one trial, as long as its ``fence`` is the newest."""

    trial_id: int
    owner: str
    fence: int
    threads: int  # CPU threads that the trial's first claim chose
    # how many owners before this one were gone without a word, since the last checkpoint
    vanished: int = 0
    # the workers whose process for this trial had died by then, once for each time
    crashed_by: tuple[str, ...] = ()
    hung_by: tuple[str, ...] = ()  # or had stood still


def renew(connection: Connection, lease: Lease, seconds: float) -> None:
    """Extend a lease, also one that ran out while nobody else wanted it, and count the time that it
    has been held.

    Raises:
        LeaseLostError: Another worker has taken the trial.
    """
    _change(connection, lease, expires_at=_in(seconds), spent_s=SPENT, renewed_at=NOW)


def release(engine: Engine, lease: Lease) -> None:
    """Give a trial back: whoever comes next may take it at once."""
    with engine.begin() as connection:
        values = {"owner": NOBODY, "expires_at": NOW, "spent_s": SPENT, "renewed_at": NOW}
        connection.execute(update(LEASE).where(_is(lease)).values(values))


def note_death(engine: Engine, lease: Lease, *, hung: bool) -> Lease:
    """Note that the trial's process has died, or was ``hung``; returns the lease with it.

    A lease ends with its process, so it counts one death: reported again because its answer was lost,
    it is the same one.

    Raises:
        LeaseLostError: Another worker has taken the trial.
    """
    crashed_by = (lease.owner,) * (not hung)
    hung_by = (lease.owner,) * hung
    noted = replace(
        lease, crashed_by=lease.crashed_by + crashed_by, hung_by=lease.hung_by + hung_by
    )
    with engine.begin() as connection:
        _change(connection, lease, crashed_by=list(noted.crashed_by), hung_by=list(noted.hung_by))
    return noted


def note_progress(connection: Connection, lease: Lease) -> None:
    """Hold the lease's row until this transaction ends, and note that its owner has got somewhere.

    Raises:
        LeaseLostError: Another worker has taken the trial.
    """
    _change(connection, lease, vanished=0)


def _change(connection: Connection, lease: Lease, **values: object) -> None:
    if connection.execute(update(LEASE).where(_is(lease)).values(values)).rowcount == 0:
        raise LeaseLostError(f"the lease on trial id {lease.trial_id} was lost")


def _in(seconds: float) -> TextClause:
    return text(f"clock_timestamp() + interval '{float(seconds)} seconds'")


def _is(lease: Lease) -> ColumnElement[bool]:
    return (
        (LEASE.c.trial_id == lease.trial_id)
        & (LEASE.c.fence == lease.fence)
        & (LEASE.c.owner == lease.owner)
    )
