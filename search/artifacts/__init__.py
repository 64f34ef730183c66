"""Where large values live: immutable blobs named by their SHA-256, in a folder or in S3."""

from search.artifacts.blobs import Blobs, BlobStore, check_writable
from search.artifacts.location import open_blobs, open_objects
from search.artifacts.objects import (
    BlobCorruptError,
    BlobMissingError,
    Objects,
    StoreAwayError,
    Stored,
)

__all__ = [
    "BlobCorruptError",
    "BlobMissingError",
    "BlobStore",
    "Blobs",
    "Objects",
    "StoreAwayError",
    "Stored",
    "check_writable",
    "open_blobs",
    "open_objects",
]
