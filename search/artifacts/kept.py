"""A host's copies of blobs that many trials read: fetched once from the store."""

import hashlib
import uuid
from contextlib import suppress
from pathlib import Path

from search.artifacts.blobs import BlobStore

KEPT = "weights"  # the folder of a host's cache where they lie


def read_once(sha: str, blobs: BlobStore, folder: Path) -> bytes:
    """Return the bytes of ``sha``: this host's copy where it is whole, else the store's, of which a
    copy is left. A copy that cannot be written costs the next trial another fetch, no more.

    Raises:
        BlobMissingError: The store has lost them.
        BlobCorruptError: It has other bytes.
    """
    copy = folder / sha
    with suppress(OSError):
        data = copy.read_bytes()
        if hashlib.sha256(data).hexdigest() == sha:
            return data
    data = blobs.read(sha)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{uuid.uuid4().hex}"
        try:
            draft.write_bytes(data)
            draft.replace(copy)
        finally:
            draft.unlink(missing_ok=True)
    return data
