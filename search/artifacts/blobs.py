"""Blobs: immutable bytes named by their SHA-256, so that a name can never mean other bytes."""

import hashlib
import re
import uuid
from typing import Protocol, final

from search.artifacts.objects import BlobCorruptError, BlobMissingError, Objects

_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobStore(Protocol):
    """Immutable bytes by their SHA-256 (64 lower-case hexadecimal digits).

    Every method raises StoreAwayError, in one line, when the disk or the server fails;
    BlobMissingError for a malformed name.
    """

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its SHA-256; visible only when complete, harmless to repeat."""

    def read(self, sha: str) -> bytes:
        """Return the bytes whose SHA-256 is ``sha``.

        Raises:
            BlobMissingError: The store does not hold them.
            BlobCorruptError: The store holds other bytes under that name.
        """

    def delete(self, sha: str) -> None:
        """Remove the blob; a missing one is fine."""

    def exists(self, sha: str) -> bool:
        """Return whether the blob is there; its bytes are not checked."""


@final
class Blobs:
    """Blobs as named bytes of a folder or a bucket."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its SHA-256. A blob that is there is written again: that mends
        it and renews its age.
        """
        sha = hashlib.sha256(data).hexdigest()
        self.objects.write(sha, data)
        return sha

    def read(self, sha: str) -> bytes:
        """Return the bytes of ``sha``, checked."""
        data = self.objects.read(_checked(sha))
        digest = hashlib.sha256(data).hexdigest()
        if digest != sha:
            raise BlobCorruptError(
                f"{self.objects.describe(sha)} is corrupt: {len(data)} bytes with SHA-256 "
                f"{digest[:12]}..."
            )
        return data

    def delete(self, sha: str) -> None:
        """Remove the blob if it is there."""
        self.objects.delete(_checked(sha))

    def exists(self, sha: str) -> bool:
        """Return whether the blob is there."""
        return self.objects.exists(_checked(sha))


def check_writable(store: BlobStore) -> None:
    """Put, read and delete a small blob.

    Raises:
        WorldError: The store cannot be used, and why.
        UserError: Its bucket does not exist.
    """
    sha = store.put(f"writable? {uuid.uuid4()}".encode())
    store.read(sha)
    store.delete(sha)


def _checked(sha: str) -> str:
    if not _SHA256.fullmatch(sha):
        raise BlobMissingError(
            f"no blob can be named {sha[:80]!r}: a name is a SHA-256, 64 lower-case hexadecimal "
            f"digits"
        )
    return sha
