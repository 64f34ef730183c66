"""Trials that a test takes and ends as a worker does, with the seconds that it says they took."""

from sqlalchemy import text

from search.study.record import Notes
from search.study.stored import Study
from search.trials import leases
from search.trials.claims import Claimed, claim
from search.trials.writing import write_notes


def take(study: Study, owner: str, device: str = "CPU") -> leases.Lease:
    claimed = claim(study, owner, threads=1, device=device)
    assert isinstance(claimed, Claimed)
    return claimed.lease


def end(study: Study, lease: leases.Lease, train_s: float, device: str = "CPU") -> None:
    """End a trial as a worker does, that has trained ten epochs in so many seconds."""
    notes = Notes(device_name=device, epochs=10, train_s=train_s, multiply_adds=10**6)
    write_notes(study.engine, lease, notes)
    study.optuna.tell(study.trial(lease.trial_id), 0.5)
    leases.release(study.engine, lease)
    change(study, f"UPDATE search_lease SET spent_s = {train_s} WHERE trial_id = {lease.trial_id}")


def change(study: Study, statement: str) -> None:
    with study.engine.begin() as connection:
        connection.execute(text(statement))


def begun(study: Study, minutes_ago: float) -> None:
    change(
        study,
        f"UPDATE search_study SET started_at = clock_timestamp() - interval '{minutes_ago} minutes'",
    )
