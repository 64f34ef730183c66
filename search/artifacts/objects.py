"""The seam between what is stored (blobs, pictures) and where: named bytes that appear whole or not
at all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from objectives.errors import WorldError

_KEY = re.compile(r"[0-9a-fA-F-]{4,64}")


class StoreAwayError(WorldError):
    """The artifact store's disk or server fails; the same call may work later."""


class BlobMissingError(WorldError):
    """The artifact store does not hold what was asked for."""


class BlobCorruptError(WorldError):
    """The artifact store holds other bytes than those that were written."""


@dataclass(frozen=True)
class Stored:
    """One value as the store lists it."""

    key: str
    size_bytes: int
    written_at: float  # seconds since 1970, by the clock of the disk or the server


class Objects(Protocol):
    """Named bytes. Keys are 4 to 64 hexadecimal digits or dashes; any other key raises
    BlobMissingError.

    Every method raises StoreAwayError, in one line, when the disk or the server fails.
    """

    def write(self, key: str, data: bytes) -> None:
        """Store ``data`` under ``key``, replacing what is there; readers see the old bytes or the
        new, never a part.
        """

    def read(self, key: str) -> bytes:
        """Return the bytes under ``key``.

        Raises:
            BlobMissingError: Nothing is stored under the key.
        """

    def delete(self, key: str) -> None:
        """Remove ``key``; a missing one is fine."""

    def exists(self, key: str) -> bool:
        """Return whether something is stored under ``key``."""

    def stored(self) -> Iterator[Stored]:
        """Yield all that is stored, in no particular order."""

    def look(self, key: str) -> Stored:
        """Return what a listing says of ``key``.

        Raises:
            BlobMissingError: Nothing is stored under the key.
        """

    def drafts(self) -> Iterator[Stored]:
        """Yield what is half-written, by names of their own: it is being written, or its writer was
        killed.
        """

    def drop_draft(self, name: str) -> None:
        """Remove a draft; a missing one is fine."""

    def describe(self, key: str) -> str:
        """Return where ``key`` lives, for messages."""


def sharded(key: str) -> str:
    """Return ``ab/cdef...`` for the key ``abcdef...``, so that no folder holds every object.

    Raises:
        BlobMissingError: The key holds anything but hexadecimal digits and dashes, so it could
            leave the store.
    """
    if not _KEY.fullmatch(key):
        raise BlobMissingError(
            f"no artifact can be named {key[:80]!r}: names are 4 to 64 hexadecimal digits or dashes"
        )
    return f"{key[:2]}/{key[2:]}"


def unsharded(path: str) -> str | None:
    """Return the key whose ``sharded`` form is ``path``, or None when there is none (a foreign
    file).
    """
    shard, _, rest = path.partition("/")
    key = shard + rest
    return key if len(shard) == 2 and _KEY.fullmatch(key) else None
