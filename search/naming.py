"""The lock between those who name blobs in rows and those who delete the blobs that no row names."""

from sqlalchemy import Engine, text

from search.blobs import BlobMissing, Objects, Stored
from search.storage import locked

NAMING_LOCK = 7_215_004

NAMED = text("SELECT 1 FROM search_checkpoint WHERE blob = :blob LIMIT 1")


def delete_unnamed(engine: Engine, blobs: Objects, listed: Stored) -> bool:
    """Delete a blob that was listed, unless a row names it by now or it has been put again; says whether it went.

    Raises: StoreAway when the store does not answer.
    """
    with locked(engine, NAMING_LOCK) as connection:
        if connection.execute(NAMED, {"blob": listed.key}).first() is not None:
            return False
        return delete_old(blobs, listed)


def delete_old(objects: Objects, listed: Stored) -> bool:
    """Delete what was listed, unless it has been written again since; says whether it went."""
    try:
        if objects.look(listed.key).written_at > listed.written_at:
            return False
    except BlobMissing:  # somebody else was quicker
        return False
    objects.delete(listed.key)
    return True
