"""Checkpoint pointers: which blobs are a trial's newest state and best weights, and which were
before them.

Blobs are immutable and named by their SHA-256; only a row of this table, written under the fence,
gives one a meaning. The pair before the newest is kept while the trial runs, in case the newest is
damaged.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Row, RowMapping, select, text
from sqlalchemy.dialects.postgresql import insert

from search.artifacts import BlobMissingError, BlobStore
from search.database.tables import CHECKPOINT
from search.study.record import AGAIN, BELIEVING, HEIGHT
from search.study.spec import StudySpec
from search.trials import leases
from search.trials.blob_lock import delete_left, hold_blobs
from search.trials.leases import Lease

# finished trials whose weights are kept, besides the control's: the best may be another one tomorrow
KEEP_BEST = 8
EVERY = 2**31 - 1

LAST = "last"
BEST = "best"
BEFORE = {LAST: "last before", BEST: "best before"}

UNNEEDED = text(f"""
    DELETE FROM search_checkpoint USING (
        SELECT trial_id, number, state,
               rank() OVER (ORDER BY state = 'COMPLETE' DESC, {HEIGHT} DESC NULLS LAST, number) AS place
        FROM trials LEFT JOIN trial_values USING (trial_id) {BELIEVING} WHERE study_id = :study_id
    ) AS ranked
    WHERE search_checkpoint.trial_id = ranked.trial_id AND ranked.state NOT IN ('RUNNING', 'WAITING')
      AND (kind <> 'best' OR ranked.state <> 'COMPLETE' OR (place > :best AND number <> 0 AND NOT EXISTS (
          SELECT 1 FROM trial_user_attributes AS told
          WHERE told.trial_id = ranked.trial_id AND key = 'recipe' AND value_json::json #>> '{{}}' = ANY(:recipes)
      )))
    RETURNING search_checkpoint.blob
""")


@dataclass(frozen=True)
class Kept:
    """Which finished trials keep their weights, besides the control's: so many of the best, and
    these recipes'.
    """

    best: int = KEEP_BEST
    recipes: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of a query that drops the others."""
        return {"best": self.best, "recipes": list(self.recipes)}


SOME = Kept()


@dataclass(frozen=True)
class Pointer:
    """A blob, and the epoch and score of what it holds."""

    blob: str
    epoch: int
    score: float


def point(engine: Engine, blobs: BlobStore, lease: Lease, pointers: dict[str, Pointer]) -> None:
    """Move a trial's pointers to the blobs of a new checkpoint, and delete the blobs that none
    names any more.

    ``pointers`` holds ``last`` and ``best``. Told the same twice (its answer was lost), it moves
    them once.

    Raises:
        LeaseLostError: Another worker has the trial, BlobMissingError when gc has taken the new
            blobs for garbage; then nothing is changed.
    """
    with engine.begin() as connection:
        gone = hold_blobs(connection, blobs, (pointer.blob for pointer in pointers.values()))
        leases.note_progress(connection, lease)
        if gone:
            name = min(gone)[:12]
            raise BlobMissingError(
                f"a checkpoint is gone from the artifact store: {name} lay there unnamed for too "
                f"long"
            )
        there = {row.kind: row for row in _rows(connection, lease.trial_id)}
        if LAST in there and there[LAST].blob == pointers[LAST].blob:
            return
        for kind, pointer in pointers.items():
            if kind in there:
                _write(connection, lease.trial_id, BEFORE[kind], _pointer(there[kind]._mapping))
            _write(connection, lease.trial_id, kind, pointer)
        left = {row.blob for kind, row in there.items() if kind in BEFORE.values()}
    delete_left(engine, blobs, left)


def pointers_of(engine: Engine, trial_id: int) -> dict[str, Pointer]:
    """Return a trial's pointers by kind."""
    with engine.connect() as connection:
        return {row.kind: _pointer(row._mapping) for row in _rows(connection, trial_id)}


def kept(spec: StudySpec) -> Kept:
    """Return which finished trials of a study keep their weights: of a search a few, the control's second
    run and its recipes, all that confirm one.
    """
    return Kept(recipes=(AGAIN, *spec.recipes)) if spec.purpose.searches else Kept(EVERY)


def drop_unneeded(engine: Engine, blobs: BlobStore, study_id: int, keep: Kept = SOME) -> None:
    """Delete the checkpoints that nothing needs: all states of finished trials, and all weights but
    those that are kept.
    """
    with engine.begin() as connection:
        left = set(
            connection.execute(UNNEEDED, {"study_id": study_id, **keep.parameters}).scalars()
        )
    delete_left(engine, blobs, left)


def _rows(connection: Connection, trial_id: int) -> list[Row[tuple[object, ...]]]:
    return list(connection.execute(select(CHECKPOINT).where(CHECKPOINT.c.trial_id == trial_id)))


def _write(connection: Connection, trial_id: int, kind: str, pointer: Pointer) -> None:
    values = {"blob": pointer.blob, "epoch": pointer.epoch, "score": pointer.score}
    insertion = insert(CHECKPOINT).values(trial_id=trial_id, kind=kind, **values)
    connection.execute(
        insertion.on_conflict_do_update(index_elements=["trial_id", "kind"], set_=values)
    )


def _pointer(row: RowMapping) -> Pointer:
    return Pointer(row["blob"], row["epoch"], row["score"])
