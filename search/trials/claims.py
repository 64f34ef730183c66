"""Claiming a trial: adopt a lost one, else take a waiting one, else create one while the budget
lasts and no limit is reached.

A claim looks first, without any lock: what has been spent, and which trials are open. Then one
batch of statements, sent at once and committed by the server, locks the study's row and takes a
trial together with its lease. So no worker holds the lock while it thinks, sleeps or dies; a trial
never lacks a lease; and the room for another is counted under the same lock under which Optuna, too,
numbers trials. So budgets are exact.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from search.database.predicates import ALIVE_WORKER
from search.database.sessions import at_once
from search.study.budget import Budget, Limit, read_budget
from search.study.seen import UNREAD
from search.study.stored import Study
from search.trials import leases
from search.trials.leases import NOBODY, Lease

GRACE = 1.0  # of a lease, after the server's start
UNLIMITED = 2**31 - 1  # trials: as many as PostgreSQL numbers

# While the server was away nobody could renew a lease: each gets the time to, once it is back. What
# was given back is free, and so is what this worker holds without knowing: an answer was lost. A
# trial whose process has died at one worker is left to the others: its surroundings may be what
# kills it. Whose lease is being written just now is no lost one.
TAKE = text(f"""
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SELECT 1 FROM studies WHERE study_id = :study_id FOR NO KEY UPDATE;
    WITH study AS (
        SELECT study_id FROM search_study JOIN studies USING (study_id)
        WHERE study_id = :study_id AND search_study.state = 'running' AND pg_postmaster_start_time() = :server
    ), others AS (
        SELECT count(*) FILTER (WHERE trial_id > :after) AS newer,
               count(*) FILTER (WHERE trial_id = ANY(:open) AND state = 'WAITING') AS waiting
        FROM trials WHERE study_id = :study_id AND {UNREAD}
    ), room AS (
        SELECT newer, newer + :waiting - waiting < :room AS there FROM others
    ), lost AS (
        SELECT trial_id FROM search_lease JOIN trials USING (trial_id) JOIN study USING (study_id)
        WHERE trial_id = ANY(:open) AND trials.state = 'RUNNING'
          AND (owner = :worker OR expires_at <= clock_timestamp() AND (
               owner = '{NOBODY}' OR clock_timestamp() >= pg_postmaster_start_time() + make_interval(secs => :grace_s)))
          AND NOT (:worker = ANY(crashed_by || hung_by) AND EXISTS (
              SELECT 1 FROM search_worker WHERE search_worker.study_id = :study_id AND {ALIVE_WORKER}
                AND NOT id = ANY(crashed_by || hung_by)))
        ORDER BY trial_id LIMIT 1 FOR UPDATE OF search_lease SKIP LOCKED
    ), never_held AS (
        SELECT trial_id FROM trials JOIN study USING (study_id)
        WHERE trial_id = ANY(:open) AND state = 'RUNNING' AND NOT EXISTS (SELECT 1 FROM lost)
          AND NOT EXISTS (SELECT 1 FROM search_lease WHERE search_lease.trial_id = trials.trial_id)
        ORDER BY trial_id LIMIT 1
    ), adopted AS (
        SELECT trial_id FROM lost UNION ALL SELECT trial_id FROM never_held
    ), begun AS (
        UPDATE trials SET state = 'RUNNING', datetime_start = clock_timestamp() AT TIME ZONE 'UTC'
        WHERE NOT EXISTS (SELECT 1 FROM adopted) AND (SELECT there FROM room) AND trial_id = (
            SELECT trial_id FROM trials JOIN study USING (study_id)
            WHERE trial_id = ANY(:open) AND state = 'WAITING' ORDER BY number LIMIT 1 FOR UPDATE OF trials)
        RETURNING trial_id
    ), created AS (
        INSERT INTO trials (study_id, number, state, datetime_start)
        SELECT study_id, :total + newer, 'RUNNING', clock_timestamp() AT TIME ZONE 'UTC'
        FROM study CROSS JOIN room
        WHERE there AND NOT EXISTS (SELECT 1 FROM adopted) AND NOT EXISTS (SELECT 1 FROM begun)
          AND :total + newer < :most
        RETURNING trial_id
    ), first_claim AS (
        UPDATE search_study SET started_at = clock_timestamp()
        WHERE study_id = (SELECT study_id FROM study) AND started_at IS NULL
          AND (EXISTS (SELECT 1 FROM adopted) OR EXISTS (SELECT 1 FROM begun) OR EXISTS (SELECT 1 FROM created))
    )
    INSERT INTO search_lease AS lease (trial_id, owner, fence, threads, expires_at, renewed_at)
    SELECT trial_id, :worker, 1, :threads, clock_timestamp() + make_interval(secs => :lease_s), clock_timestamp()
    FROM (SELECT trial_id FROM adopted UNION ALL SELECT trial_id FROM begun UNION ALL SELECT trial_id FROM created) AS claimed
    ON CONFLICT (trial_id) DO UPDATE SET
        owner = excluded.owner, fence = lease.fence + 1, expires_at = excluded.expires_at, renewed_at = excluded.renewed_at,
        vanished = lease.vanished + CASE WHEN lease.owner IN ('{NOBODY}', excluded.owner) THEN 0 ELSE 1 END
    RETURNING trial_id, owner, fence, threads, vanished, crashed_by, hung_by
""")


@dataclass(frozen=True)
class Claimed:
    """A trial to run, new or lost by another worker."""

    lease: Lease


@dataclass(frozen=True)
class Waiting:
    """There is no trial to claim now, but some still run elsewhere, and one may be lost; or the
    study is paused. ``why`` says why none is begun, where one is left.
    """

    why: str = ""


@dataclass(frozen=True)
class Done:
    """Every trial of the budget has ended, or a limit is reached or too near and nobody trains any
    longer; ``why`` says that it is too near.
    """

    why: str = ""


Claim = Claimed | Waiting | Done


def claim(
    study: Study, owner: str, *, threads: int, device: str = "", lease_s: float = leases.LEASE_S
) -> Claim:
    """Claim a trial for a worker that runs none, on a kind of ``device``. ``threads`` is recorded
    with a trial's first claim only.

    Raises:
        UserError: The study was deleted.
    """
    with study.engine.connect() as connection:
        budget = read_budget(connection, study, but=owner, device=device)
    # what a limit has cut goes on when it is lifted, and not before
    if budget.limit() is Limit.NONE and (budget.running > budget.held or not budget.closed()):
        with at_once(study.engine) as connection:
            lease = _take(connection, study, budget, owner, threads, lease_s)
        if lease is not None:
            return Claimed(lease)
    return Done(budget.no_room) if budget.over else Waiting(budget.no_room)


def _take(
    connection: Connection, study: Study, budget: Budget, owner: str, threads: int, lease_s: float
) -> Lease | None:
    """Take a trial, unless others were quicker."""
    seen = study.tally.seen
    values = {
        "study_id": study.id,
        "server": seen.server,
        "worker": owner,
        "threads": threads,
        "lease_s": lease_s,
        "grace_s": GRACE * lease_s,
        "total": budget.total,
        "most": budget.most,
        "waiting": budget.waiting,
        "room": int(min(budget.room, UNLIMITED)),
        **seen.parameters,
    }
    row = connection.execute(TAKE, values).first()
    if row is None:
        return None
    trial_id, owner, fence, threads, vanished, crashed_by, hung_by = row
    return Lease(trial_id, owner, fence, threads, vanished, tuple(crashed_by), tuple(hung_by))
