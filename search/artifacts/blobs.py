"""Blobs: immutable bytes named by their SHA-256, so that a name can never mean other bytes."""

import hashlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from search.artifacts.folder import FolderObjects
from search.artifacts.objects import BlobCorruptError, BlobMissingError, Objects
from search.artifacts.s3 import S3Objects

_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobStore(Protocol):
    """Immutable bytes by their SHA-256 (64 lower-case hexadecimal digits).

    Every method raises StoreAwayError, in one line, when the disk or the server fails; BlobMissingError for a malformed name.
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
        """Whether the blob is there; its bytes are not checked."""

    def list(self, older_than_s: float = 0.0) -> Iterator[str]:
        """Yield the blobs last put at least ``older_than_s`` seconds ago: the age tells an orphan from a blob in the making."""


class _ObjectBlobs:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its SHA-256. A blob that is there is written again: that mends it and renews its age."""
        sha = hashlib.sha256(data).hexdigest()
        self._objects.write(sha, data)
        return sha

    def read(self, sha: str) -> bytes:
        """Return the bytes of ``sha``, checked."""
        data = self._objects.read(_checked(sha))
        found = hashlib.sha256(data).hexdigest()
        if found != sha:
            raise BlobCorruptError(f"{self._objects.describe(sha)} is corrupt: {len(data)} bytes with SHA-256 {found[:12]}...")
        return data

    def delete(self, sha: str) -> None:
        """Remove the blob if it is there."""
        self._objects.delete(_checked(sha))

    def exists(self, sha: str) -> bool:
        """Whether the blob is there."""
        return self._objects.exists(_checked(sha))

    def list(self, older_than_s: float = 0.0) -> Iterator[str]:
        """Yield the names of the blobs last put at least ``older_than_s`` seconds ago."""
        return (key for key in self._objects.keys(older_than_s) if _SHA256.fullmatch(key))


class FolderBlobs(_ObjectBlobs):
    """Blobs as files of one folder, which is made when the first one is put."""

    def __init__(self, path: Path) -> None:
        super().__init__(FolderObjects(path))


class S3Blobs(_ObjectBlobs):
    """Blobs in an S3 bucket under a prefix (may be empty); ``endpoint_url`` is empty for Amazon's own."""

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str = "") -> None:
        super().__init__(S3Objects(bucket, prefix, endpoint_url))


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
        raise BlobMissingError(f"no blob can be named {sha[:80]!r}: a name is a SHA-256, 64 lower-case hexadecimal digits")
    return sha
