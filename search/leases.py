"""Leases: a worker's right to run one trial, taken, renewed and given back by the database's clock.

A lease's fence number rises with every claim. Whoever writes for a trial checks its own number in the same transaction,
so a worker that slept through its lease can write nothing over its successor's results.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, TextClause, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from search.storage import LeaseLostError
from search.tables import LEASE

LEASE_S = 30.0


@dataclass(frozen=True)
class Lease:
    """The right of ``owner`` to run one trial, as long as its ``fence`` is the newest."""

    trial_id: int
    owner: str
    fence: int
    threads: int  # CPU threads that the trial's first claim chose


def take(connection: Connection, trial_id: int, owner: str, *, threads: int, seconds: float) -> Lease:
    """Take a trial over from whoever had it; the caller holds the study's lock and knows that no live lease is on it."""
    row = connection.execute(
        insert(LEASE)
        .values(trial_id=trial_id, owner=owner, fence=1, threads=threads, expires_at=_in(seconds))
        .on_conflict_do_update(
            index_elements=["trial_id"], set_={"owner": owner, "fence": LEASE.c.fence + 1, "expires_at": _in(seconds)}
        )
        .returning(LEASE.c.fence, LEASE.c.threads)
    ).one()
    return Lease(trial_id, owner, row.fence, row.threads)


def renew(engine: Engine, lease: Lease, seconds: float) -> None:
    """Extend a lease, also one that ran out while nobody else wanted it.

    Raises: LeaseLostError when another worker has taken the trial.
    """
    with engine.begin() as connection:
        changed = connection.execute(update(LEASE).where(_is(lease)).values(expires_at=_in(seconds)))
        if changed.rowcount == 0:
            raise LeaseLostError(f"the lease on trial id {lease.trial_id} was lost")


def release(engine: Engine, lease: Lease) -> None:
    """Give a trial back: whoever comes next may take it at once."""
    with engine.begin() as connection:
        connection.execute(update(LEASE).where(_is(lease)).values(expires_at=func.now()))


def count_crash(engine: Engine, lease: Lease) -> int:
    """Note that the trial's process died without a word; returns how often it has, over all workers."""
    with engine.begin() as connection:
        crashes = LEASE.c.crashes + 1
        changed = connection.execute(
            update(LEASE).where(_is(lease)).values(crashes=crashes).returning(LEASE.c.crashes)
        ).scalar()
        if changed is None:
            raise LeaseLostError(f"the lease on trial id {lease.trial_id} was lost")
        return int(changed)


def check(connection: Connection, lease: Lease) -> None:
    """Hold the lease's row until this transaction ends.

    Raises: LeaseLostError when another worker has taken the trial.
    """
    if connection.execute(select(LEASE.c.trial_id).where(_is(lease)).with_for_update(read=True)).first() is None:
        raise LeaseLostError(f"the lease on trial id {lease.trial_id} was lost")


def _in(seconds: float) -> TextClause:
    return text(f"clock_timestamp() + interval '{float(seconds)} seconds'")


def _is(lease: Lease) -> ColumnElement[bool]:
    return (LEASE.c.trial_id == lease.trial_id) & (LEASE.c.fence == lease.fence) & (LEASE.c.owner == lease.owner)
