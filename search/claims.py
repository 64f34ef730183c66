"""Claiming a trial: adopt a lost one, else take a waiting one, else create one while the budget lasts.

All of it happens under one lock per study, and Optuna commits a new trial by itself: a crash at any point leaves a trial
that the next claim adopts, never a second one. So budgets are exact.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update

from search import leases
from search.leases import Lease
from search.storage import locked
from search.study import Study
from search.tables import STUDY

CLAIM_LOCK = 7_215_002
INFEASIBLE_SHARE = 0.2  # of the budget, that trials which cannot work may spend

COUNTS = text("""
    SELECT count(*) AS total,
           count(*) FILTER (WHERE state = 'WAITING') AS waiting,
           count(*) FILTER (WHERE state = 'RUNNING') AS running,
           count(*) FILTER (WHERE state = 'PRUNED' AND told.value_json = '"infeasible"') AS infeasible
    FROM trials LEFT JOIN trial_user_attributes AS told ON told.trial_id = trials.trial_id AND key = 'end_cause'
    WHERE study_id = :study_id
""")

LOST = text("""
    SELECT trials.trial_id FROM trials LEFT JOIN search_lease USING (trial_id)
    WHERE study_id = :study_id AND state = 'RUNNING' AND (expires_at IS NULL OR expires_at <= clock_timestamp())
    ORDER BY trials.trial_id LIMIT 1
""")


@dataclass(frozen=True)
class Claimed:
    """A trial to run, new or lost by another worker."""

    lease: Lease


@dataclass(frozen=True)
class Waiting:
    """Nothing to claim now, but trials still run elsewhere, and one of them may be lost."""


@dataclass(frozen=True)
class Done:
    """Every trial of the budget has ended."""


Claim = Claimed | Waiting | Done


def claim(study: Study, owner: str, *, threads: int, lease_s: float = leases.LEASE_S) -> Claim:
    """Claim a trial for a worker. ``threads`` is recorded with a trial's first claim only."""
    with locked(study.engine, CLAIM_LOCK, study.id) as connection:
        trial_id = connection.execute(LOST, {"study_id": study.id}).scalar()
        if trial_id is None:
            counts = connection.execute(COUNTS, {"study_id": study.id}).one()
            if past_deadline(study) or (not counts.waiting and _spent(study, counts, _budget(connection, study))):
                return Waiting() if counts.running else Done()
            # Optuna's own connection commits the new trial here, before our lease on it
            trial_id = study.optuna.ask()._trial_id
        connection.execute(
            update(STUDY).where((STUDY.c.study_id == study.id) & STUDY.c.started_at.is_(None)).values(started_at=func.now())
        )
        return Claimed(leases.take(connection, trial_id, owner, threads=threads, seconds=lease_s))


def is_over(study: Study) -> bool:
    """Whether every trial of the study has ended and no worker would create another."""
    with study.engine.connect() as connection:
        counts = connection.execute(COUNTS, {"study_id": study.id}).one()
        spent = not counts.waiting and _spent(study, counts, _budget(connection, study))
    return not counts.running and (spent or past_deadline(study))


def beyond_budget(infeasible: int, budget: int) -> int:
    """How many of the infeasible trials do not count: they may spend a fifth of the budget, and no more."""
    return max(0, infeasible - max(1, int(INFEASIBLE_SHARE * budget)))


def past_deadline(study: Study) -> bool:
    """Whether the study's time is over, by the database's clock."""
    if not study.spec.until_s:
        return False
    over = text("SELECT clock_timestamp() > started_at + make_interval(secs => :s) FROM search_study WHERE study_id = :id")
    with study.engine.connect() as connection:
        return bool(connection.execute(over, {"s": study.spec.until_s, "id": study.id}).scalar())


def _spent(study: Study, counts: Row[Any], budget: int) -> bool:
    hopeless = counts.infeasible >= 2 * budget  # a space in which next to nothing works
    only_recipes = budget <= 1 + len(study.spec.recipes)  # they are what was asked for: nothing else takes their place
    replaced = 0 if only_recipes else beyond_budget(counts.infeasible, budget)
    return bool(counts.total - replaced >= budget or hopeless)


def _budget(connection: Connection, study: Study) -> int:
    return int(connection.execute(select(STUDY.c.trials).where(STUDY.c.study_id == study.id)).scalar_one())
