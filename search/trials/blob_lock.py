"""Guards blobs against deletion while a row that refers to them is written."""

import zlib
from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy import Connection, Engine, text

from search.artifacts import BlobMissingError, BlobStore, Objects, StoreAwayError, Stored
from search.database.connections import locked
from search.database.predicates import GIVEN_WEIGHTS

NAMING_LOCK = 7_215_004

NAMED = text(f"""
    SELECT 1 FROM search_checkpoint WHERE blob = :blob UNION ALL SELECT 1 FROM {GIVEN_WEIGHTS} WHERE sha256 = :blob LIMIT 1
""")

# many may name a blob at once; none while somebody deletes it
HOLD = text("SELECT pg_advisory_xact_lock_shared(:key, :of)")


def hold_blobs(connection: Connection, blobs: BlobStore, wanted: Iterable[str]) -> set[str]:
    """Let nobody delete these blobs until this transaction, which names them, has ended; returns
    those that are gone.
    """
    blobs_wanted = set(wanted)
    # in one order everywhere: two who hold a blob each never wait for the other's
    for of in sorted(map(_lock_of, blobs_wanted)):
        connection.execute(HOLD, {"key": NAMING_LOCK, "of": of})
    return {blob for blob in blobs_wanted if not blobs.exists(blob)}


def delete_left(engine: Engine, blobs: BlobStore, left: set[str]) -> None:
    """Delete those blobs that no row names any more; what cannot be deleted is left to
    `search gc`.
    """
    for blob in left:
        with suppress(StoreAwayError), locked(engine, NAMING_LOCK, _lock_of(blob)) as connection:
            if connection.execute(NAMED, {"blob": blob}).first() is None:
                blobs.delete(blob)


def delete_unnamed(engine: Engine, blobs: Objects, listed: Stored) -> bool:
    """Delete a blob that was listed, unless a row names it by now or it has been put again; says
    whether it went.

    Raises:
        StoreAwayError: The store does not answer.
    """
    with locked(engine, NAMING_LOCK, _lock_of(listed.key)) as connection:
        if connection.execute(NAMED, {"blob": listed.key}).first() is not None:
            return False
        return delete_old(blobs, listed)


def delete_old(objects: Objects, listed: Stored) -> bool:
    """Delete what was listed, unless it has been written again since; says whether it went."""
    try:
        if objects.look(listed.key).written_at > listed.written_at:
            return False
    except BlobMissingError:  # somebody else was quicker
        return False
    objects.delete(listed.key)
    return True


def _lock_of(blob: str) -> int:
    """Return the number of a blob's lock, of 31 bits; that two blobs share one does no harm."""
    return zlib.crc32(blob.encode()) >> 1
