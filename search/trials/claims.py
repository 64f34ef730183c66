"""Claiming a trial: adopt a lost one, else take a waiting one, else create one while the budget
lasts and no limit is reached.

All of it happens under one lock per study, and Optuna commits a new trial by itself: a crash at any
point leaves a trial that the next claim adopts. Should the lock be lost meanwhile, or Optuna create
a trial again because it did not hear that it had, the commit that creates one too many is refused.
So budgets are exact.
"""

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, func, text, update

from objectives.errors import UserError, WorldError
from search.database.connections import locked
from search.database.predicates import ALIVE_WORKER
from search.database.tables import STUDY
from search.study.budget import Limit, read_budget
from search.study.stored import Study
from search.trials import leases
from search.trials.leases import Lease

CLAIM_LOCK = 7_215_002

# While the server was away nobody could renew a lease: each gets the time to, once it is back. What
# was given back is free. A trial whose process has died at one worker is left to the others: its
# surroundings may be what kills it.
LOST = text(f"""
    SELECT trials.trial_id FROM trials LEFT JOIN search_lease USING (trial_id)
    CROSS JOIN LATERAL (SELECT coalesce(crashed_by || hung_by, '{{}}') AS seen_by) AS deaths
    WHERE study_id = :study_id AND state = 'RUNNING' AND (expires_at IS NULL OR expires_at <= clock_timestamp() AND (
        owner = '' OR clock_timestamp() >= pg_postmaster_start_time() + make_interval(secs => :grace_s)))
    AND NOT (:worker = ANY(seen_by) AND EXISTS (
        SELECT 1 FROM search_worker WHERE search_worker.study_id = :study_id AND {ALIVE_WORKER} AND NOT id = ANY(seen_by)))
    ORDER BY trials.trial_id LIMIT 1
""")
GRACE = 1.0  # of a lease, after the server's start


@dataclass(frozen=True)
class Claimed:
    """A trial to run, new or lost by another worker."""

    lease: Lease


@dataclass(frozen=True)
class Waiting:
    """There is no trial to claim now, but some still run elsewhere, and one may be lost; or the
    study is paused.
    """


@dataclass(frozen=True)
class Done:
    """Every trial of the budget has ended, or a limit is reached and nobody trains any longer."""


Claim = Claimed | Waiting | Done


def claim(study: Study, owner: str, *, threads: int, lease_s: float = leases.LEASE_S) -> Claim:
    """Claim a trial for a worker. ``threads`` is recorded with a trial's first claim only.

    Raises:
        UserError: The study was deleted.
    """
    with locked(study.engine, CLAIM_LOCK, study.id) as connection:
        budget = read_budget(connection, study)
        # what it has cut goes on when it is lifted, and not before
        if budget.limit() is not Limit.NONE:
            return Done() if budget.over else Waiting()
        trial_id = connection.execute(
            LOST, {"study_id": study.id, "worker": owner, "grace_s": GRACE * lease_s}
        ).scalar()
        if trial_id is None:
            if budget.closed():
                return Done() if budget.over else Waiting()
            try:
                # Optuna's own connection commits the new trial here, before our lease on it
                with study.fence.creating(partial(refuse_beyond_budget, study)):
                    trial_id = study.optuna.ask()._trial_id
            except BudgetSpentError:
                return Waiting()  # for what others have made meanwhile, or this one without knowing
            except KeyError:  # by somebody, between our look and now
                raise UserError(f"study {study.spec.name!r} was deleted") from None
        connection.execute(
            update(STUDY)
            .where((STUDY.c.study_id == study.id) & STUDY.c.started_at.is_(None))
            .values(started_at=func.now())
        )
        return Claimed(leases.take(connection, trial_id, owner, threads=threads, seconds=lease_s))


class BudgetSpentError(WorldError):
    """A trial more would be one too many."""


def refuse_beyond_budget(study: Study, connection: Connection) -> None:
    """Refuse a trial that a connection has just created, where the study's budget does not hold it.

    Raises:
        BudgetSpentError: It is one too many.
    """
    budget = read_budget(connection, study)
    if budget.counted > budget.trials:
        raise BudgetSpentError(f"the budget of {budget.trials} trials is spent")
