"""Every blob store keeps the same promises: a folder, and S3 (a local server)."""

import errno
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from objectives.errors import UserError, WorldError
from search.artifacts import (
    BlobCorruptError,
    BlobMissingError,
    BlobStore,
    check_writable,
    open_blobs,
    open_objects,
)
from search.artifacts.location import Bucket, Folder, parse_location
from tests.support.blob_names import names_in

ABSENT = hashlib.sha256(b"never stored").hexdigest()


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "made" / "when needed")
    endpoint = request.getfixturevalue("s3_endpoint")
    return f"s3://models/team a/{tmp_path.name}?endpoint={endpoint}"


@pytest.fixture
def store(url: str) -> BlobStore:
    return open_blobs(url)


def corrupt(url: str, sha: str, data: bytes) -> None:
    open_objects(url, "blobs").write(sha, data)


def test_put_names_by_sha256_and_read_returns_the_bytes(store: BlobStore) -> None:
    for data in (b"", b"weights", os.urandom(3_000_000)):
        sha = store.put(data)
        assert sha == hashlib.sha256(data).hexdigest()
        assert store.exists(sha)
        assert store.read(sha) == data


def test_a_bucket_without_prefix(s3_endpoint: str) -> None:
    store = open_blobs(f"s3://models?endpoint={s3_endpoint}")
    sha = store.put(b"weights")
    assert store.read(sha) == b"weights"
    assert names_in(store) == [sha]


def test_put_twice_keeps_one_blob(store: BlobStore) -> None:
    data = os.urandom(100)
    assert store.put(data) == store.put(data)
    assert names_in(store).count(hashlib.sha256(data).hexdigest()) == 1


def test_delete_removes_and_forgives_a_missing_blob(store: BlobStore) -> None:
    sha = store.put(os.urandom(100))
    store.delete(sha)
    store.delete(sha)
    assert not store.exists(sha)
    with pytest.raises(BlobMissingError):
        store.read(sha)


def test_missing_blob(store: BlobStore) -> None:
    assert not store.exists(ABSENT)
    with pytest.raises(BlobMissingError) as caught:
        store.read(ABSENT)
    assert "\n" not in str(caught.value)
    assert ABSENT[2:] in str(caught.value)


def test_corrupt_blob_is_refused_and_mended_by_put(url: str, store: BlobStore) -> None:
    data = os.urandom(100)
    sha = store.put(data)
    corrupt(url, sha, data[:50])
    with pytest.raises(BlobCorruptError, match="corrupt: 50 bytes"):
        store.read(sha)
    store.put(data)
    assert store.read(sha) == data


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "a" * 63, "A" * 64, "", "/" + "a" * 63, ABSENT + "\n", ".." + "a" * 62],
)
def test_a_name_that_is_no_sha256_never_leaves_the_store(store: BlobStore, name: str) -> None:
    touches: tuple[Callable[[str], object], ...] = (store.read, store.delete, store.exists)
    for touch in touches:
        with pytest.raises(BlobMissingError, match="no blob can be named"):
            touch(name)


def test_list_holds_all_blobs_and_nothing_else(url: str, store: BlobStore) -> None:
    mine = {store.put(os.urandom(10)) for _ in range(5)}
    open_objects(url, "pictures").write("0123-abcd", b"a picture")
    listed = names_in(store)
    assert mine <= set(listed)
    assert all(len(name) == 64 for name in listed)
    assert len(listed) == len(set(listed))


def test_a_listing_says_when_each_was_written(url: str, store: BlobStore) -> None:
    young = store.put(bytes(10))
    (stored,) = [each for each in open_objects(url, "blobs").stored() if each.key == young]
    assert stored.size_bytes == 10
    assert abs(time.time() - stored.written_at) < 60


def test_more_blobs_than_one_page(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")  # the server's page
    store = open_blobs(f"s3://models/pages?endpoint={s3_endpoint}")
    mine = {store.put(os.urandom(10)) for _ in range(5)}
    assert set(names_in(store)) == mine


def test_check_writable_leaves_nothing(store: BlobStore) -> None:
    before = set(names_in(store))
    check_writable(store)
    assert set(names_in(store)) == before


def test_list_of_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert names_in(open_blobs(str(tmp_path / "none"))) == []


KILLED = """
import os, stat, sys
from pathlib import Path
from search.artifacts import Blobs
from search.artifacts.folder import FolderObjects
from tests.support.blob_names import names_in

def die_at_a_file(descriptor):  # its bytes are written, but not yet on the disk
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.kill(os.getpid(), 9)

os.fsync = die_at_a_file
Blobs(FolderObjects(Path(sys.argv[1]))).put(b"x" * 1000)
"""


def test_a_writer_killed_midway_leaves_nothing_visible_and_its_rest_is_swept(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root / "blobs")], check=False)
    assert killed.returncode == -9
    (rest,) = (root / "blobs" / "partial").iterdir()
    store = open_blobs(str(root))
    assert names_in(store) == []
    assert not store.exists(hashlib.sha256(b"x" * 1000).hexdigest())
    store.put(b"another")
    assert rest.exists()  # it may belong to a writer that still runs
    os.utime(rest, (1, 1))
    open_blobs(str(root)).put(b"another")
    assert not rest.exists()


def test_full_disk_is_one_line_and_leaves_no_half_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_blobs(str(tmp_path))
    store.put(b"first")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorldError, match=r"cannot write .* No space left on device") as caught:
        store.put(b"second")
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert names_in(store) == [hashlib.sha256(b"first").hexdigest()]
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder must be")
    with pytest.raises(WorldError, match=r"cannot write .* in the artifact store"):
        check_writable(open_blobs(str(tmp_path)))


def test_unreachable_endpoint_is_one_line(s3_endpoint: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        store = open_blobs(f"s3://models/x?endpoint=http://127.0.0.1:{port}")
        with pytest.raises(WorldError, match="cannot write s3://models/x/blobs/") as caught:
            store.put(b"weights")
    assert not isinstance(caught.value, BlobMissingError)
    assert "\n" not in str(caught.value)
    assert "testing-secret" not in str(caught.value)


def test_unknown_bucket_is_the_users_to_mend(s3_endpoint: str) -> None:
    store = open_blobs(f"s3://unknown-bucket/x?endpoint={s3_endpoint}")
    for touch in (
        lambda: store.put(b"weights"),
        lambda: store.read(ABSENT),
        lambda: names_in(store),
    ):
        with pytest.raises(UserError, match="bucket 'unknown-bucket' does not exist"):
            touch()


def test_no_credentials_is_one_line(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(WorldError, match="Unable to locate credentials"):
        open_blobs(f"s3://models/x?endpoint={s3_endpoint}").put(b"weights")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/data/store", Folder(Path("/data/store"))),
        ("store", Folder(Path.cwd() / "store")),
        ("~/store", Folder(Path.home() / "store")),
        ("file:///data/my%20store", Folder(Path("/data/my store"))),
        ("s3://models", Bucket("models", "", "")),
        ("s3://models/team/mars/", Bucket("models", "team/mars", "")),
        (
            "s3://models/mars?endpoint=http://minio:9000/",
            Bucket("models", "mars", "http://minio:9000"),
        ),
    ],
)
def test_locations(url: str, location: Folder | Bucket) -> None:
    assert parse_location(url) == location


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "folder cannot be ''"),
        ("  ", "folder cannot be"),
        ("gs://models/x", "cannot be 'gs://models/x'"),
        ("http://minio:9000/models", "cannot be"),
        ("file://server/share", "cannot be"),
        ("s3://", "bucket must be"),
        ("s3:///prefix", "bucket must be"),
        ("s3://My_Models/x", "bucket must be"),
        ("s3://models/x?endpoint=minio:9000", "endpoint must be"),
        ("s3://models/x?endpoint=", "endpoint must be"),
        ("s3://models/x?endpoint=http://minio:port", "cannot be read"),
        ("s3://models/x?region=eu", "only the option endpoint, got region"),
        ("~no-such-user/store", "folder cannot be"),
    ],
)
def test_wrong_locations(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_blobs(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["s3://key:hush@models/x", "s3://models/x?endpoint=http://key:hush@minio:9000"]
)
def test_credentials_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UserError, match="must not hold credentials") as caught:
        open_blobs(url)
    assert "hush" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: name a folder"):
        open_blobs(str(tmp_path / "file"))
