"""Which blobs a store holds, for tests that look behind it."""

from search.artifacts import Blobs, BlobStore


def names_in(store: BlobStore) -> list[str]:
    """The SHA-256 of every blob, in no particular order."""
    assert isinstance(store, Blobs)
    return [each.key for each in store.objects.stored()]
