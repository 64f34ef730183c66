"""Checkpoint pointers: which blob is a trial's ``last`` state and which its ``best`` weights.

Blobs are immutable and named by their SHA-256; only a row of this table, written under the fence, gives one a meaning.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from search import leases
from search.blobs import BlobStore
from search.leases import Lease
from search.tables import CHECKPOINT

KEEP_BEST = 5  # finished trials whose weights are kept, besides the control's

UNNEEDED = text("""
    DELETE FROM search_checkpoint USING (
        SELECT trial_id, number, state, rank() OVER (ORDER BY state = 'COMPLETE' DESC, value DESC NULLS LAST, number) AS place
        FROM trials LEFT JOIN trial_values USING (trial_id) WHERE study_id = :study_id
    ) AS ranked
    WHERE search_checkpoint.trial_id = ranked.trial_id AND ranked.state NOT IN ('RUNNING', 'WAITING')
      AND (kind = 'last' OR ranked.state <> 'COMPLETE' OR (place > :keep AND number <> 0))
    RETURNING search_checkpoint.blob
""")


@dataclass(frozen=True)
class Pointer:
    """A blob, and the epoch and score of what it holds."""

    blob: str
    epoch: int
    score: float


def point(engine: Engine, blobs: BlobStore, lease: Lease, pointers: dict[str, Pointer]) -> None:
    """Move a trial's pointers (``last``, ``best``) to new blobs, and delete the blobs that they leave.

    Raises: LeaseLostError when another worker has the trial; then nothing is changed.
    """
    with engine.begin() as connection:
        leases.check(connection, lease)
        left = [_move(connection, lease.trial_id, kind, pointer) for kind, pointer in pointers.items()]
    _delete_unused(engine, blobs, [blob for blob in left if blob])


def pointers_of(engine: Engine, trial_id: int) -> dict[str, Pointer]:
    """A trial's pointers by kind."""
    with engine.connect() as connection:
        rows = connection.execute(select(CHECKPOINT).where(CHECKPOINT.c.trial_id == trial_id)).mappings()
        return {row["kind"]: _pointer(row) for row in rows}


def drop_unneeded(engine: Engine, blobs: BlobStore, study_id: int, keep: int = KEEP_BEST) -> None:
    """Delete the checkpoints that nothing needs: all states of finished trials, and all weights but the best ones'."""
    with engine.begin() as connection:
        left = list(connection.execute(UNNEEDED, {"study_id": study_id, "keep": keep}).scalars())
    _delete_unused(engine, blobs, left)


def _move(connection: Connection, trial_id: int, kind: str, pointer: Pointer) -> str | None:
    where = (CHECKPOINT.c.trial_id == trial_id) & (CHECKPOINT.c.kind == kind)
    before = connection.execute(select(CHECKPOINT.c.blob).where(where)).scalar()
    values = {"blob": pointer.blob, "epoch": pointer.epoch, "score": pointer.score}
    insertion = insert(CHECKPOINT).values(trial_id=trial_id, kind=kind, **values)
    connection.execute(insertion.on_conflict_do_update(index_elements=["trial_id", "kind"], set_=values))
    return before


def _delete_unused(engine: Engine, blobs: BlobStore, candidates: list[str]) -> None:
    """Delete blobs that no pointer names; equal bytes of two trials are one blob."""
    if not candidates:
        return
    with engine.connect() as connection:
        used = set(connection.execute(select(CHECKPOINT.c.blob).where(CHECKPOINT.c.blob.in_(candidates))).scalars())
    for blob in set(candidates) - used:
        blobs.delete(blob)


def _pointer(row: RowMapping) -> Pointer:
    return Pointer(row["blob"], row["epoch"], row["score"])


def forget(engine: Engine, trial_id: int) -> None:
    """Delete a trial's pointers, so that it would start anew."""
    with engine.begin() as connection:
        connection.execute(delete(CHECKPOINT).where(CHECKPOINT.c.trial_id == trial_id))
