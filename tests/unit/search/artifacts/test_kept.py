"""A host's copy of what many trials read: fetched once, checked each time, and never needed."""

import hashlib
from pathlib import Path

import pytest

from search.artifacts import BlobMissingError, Blobs
from search.artifacts.folder import FolderObjects
from search.artifacts.kept import read_once

DATA = b"weights"
SHA = hashlib.sha256(DATA).hexdigest()


def test_it_is_fetched_once_and_again_where_the_copy_is_damaged(tmp_path: Path) -> None:
    blobs = Blobs(FolderObjects(tmp_path / "store"))
    assert blobs.put(DATA) == SHA

    assert read_once(SHA, blobs, tmp_path / "kept") == DATA
    (tmp_path / "kept" / SHA).write_bytes(b"damaged")
    assert read_once(SHA, blobs, tmp_path / "kept") == DATA
    blobs.delete(SHA)
    assert read_once(SHA, blobs, tmp_path / "kept") == DATA
    assert [each.name for each in (tmp_path / "kept").iterdir()] == [SHA]
    (tmp_path / "kept" / SHA).write_bytes(b"damaged")
    with pytest.raises(BlobMissingError):
        read_once(SHA, blobs, tmp_path / "kept")


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    blobs = Blobs(FolderObjects(tmp_path / "store"))
    blobs.put(DATA)
    (tmp_path / "kept").write_text("a file where the folder should be")

    assert read_once(SHA, blobs, tmp_path / "kept") == DATA
