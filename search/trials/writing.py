"""Writing for a trial: rows of Optuna's tables, together in one transaction under the fence."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialUserAttributeModel
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import insert

from objectives.training.results import EpochResult
from search.database.connections import LeaseLostError
from search.database.tables import EPOCH
from search.study.record import Notes
from search.trials.leases import Lease

ATTRIBUTES = TrialUserAttributeModel.__table__
SCORES = TrialIntermediateValueModel.__table__
SCORED = ("trial_id", "step", "intermediate_value", "intermediate_value_type")
stored_as = TrialIntermediateValueModel.intermediate_value_to_stored_repr

# neither the lease nor the trial's state changes until this transaction has ended
HOLD = text("""
    SELECT trials.state FROM trials JOIN search_lease USING (trial_id)
    WHERE trial_id = :trial_id AND owner = :owner AND fence = :fence FOR SHARE
""")


@contextmanager
def writing_for(engine: Engine, lease: Lease) -> Iterator[Connection]:
    """Yield a transaction that writes for a trial at hand.

    Raises:
        LeaseLostError: Another worker has taken the trial, or it was deleted.
        UpdateFinishedTrialError: Somebody else has ended it.
    """
    with engine.begin() as connection:
        which = {"trial_id": lease.trial_id, "owner": lease.owner, "fence": lease.fence}
        state = connection.execute(HOLD, which).scalar()
        if state is None:
            raise LeaseLostError(f"the lease on trial id {lease.trial_id} was lost")
        if state != "RUNNING":
            raise UpdateFinishedTrialError(f"trial id {lease.trial_id} has ended")
        yield connection


def write_notes(engine: Engine, lease: Lease, notes: Notes) -> None:
    """Store notes with a trial, where the dashboard shows them; what is there is replaced.

    Raises:
        LeaseLostError: Another worker has taken the trial; nothing is written.
        UpdateFinishedTrialError: Somebody else has ended it.
    """
    if notes.attributes():
        with writing_for(engine, lease) as connection:
            put_notes(connection, lease, notes)


def put_notes(connection: Connection, lease: Lease, notes: Notes) -> None:
    """Store notes within a transaction of `writing_for`."""
    rows = [
        {"trial_id": lease.trial_id, "key": key, "value_json": json.dumps(value)}
        for key, value in notes.attributes().items()
    ]
    if not rows:
        return
    insertion = insert(ATTRIBUTES).values(rows)
    connection.execute(
        insertion.on_conflict_do_update(
            index_elements=["trial_id", "key"],
            set_={"value_json": insertion.excluded.value_json},
            where=ATTRIBUTES.c.value_json != insertion.excluded.value_json,
        )
    )


def write_epochs(engine: Engine, lease: Lease, results: Sequence[EpochResult]) -> None:
    """Report epochs of a trial, their scores to Optuna; of an epoch that is there the first one
    stays.

    Raises:
        LeaseLostError: Another worker has taken the trial; nothing is written.
        UpdateFinishedTrialError: Somebody else has ended it.
    """
    scores = [
        dict(zip(SCORED, (lease.trial_id, each.number, *stored_as(each.score)), strict=True))
        for each in results
    ]
    epochs = [
        {
            "trial_id": lease.trial_id,
            "epoch": each.number,
            "measured": list(each.measured),
            "soft_score": each.soft_score,
            "balanced_nll": each.balanced_nll,
            "seconds": each.seconds,
        }
        for each in results
    ]
    with writing_for(engine, lease) as connection:
        connection.execute(insert(SCORES).values(scores).on_conflict_do_nothing())
        connection.execute(insert(EPOCH).values(epochs).on_conflict_do_nothing())
