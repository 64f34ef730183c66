"""Data that lie in a bucket, fetched into a host's cache once: what readers get is a folder or a
file of this host.

    s3://bucket/prefix --listed--> names, ETags, sizes --fetched--> cache/sources/PLACE/LISTING/...

A copy is found by what the bucket lists, so that a changed object makes another one; what has not
changed is taken over from the one before. Whoever fetches holds a lock, and others wait; what was
cut off goes on where it stood.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

from objectives.errors import Problem, ProblemsError, UserError, WorldError, condensed
from search.artifacts.location import Bucket, parse_location
from search.artifacts.objects import StoreAwayError
from search.artifacts.s3_bucket import S3Bucket

SOURCES = "sources"  # the folder of a host's cache where copies lie
SCHEME = "s3://"
SIDE_BY_SIDE = 8  # files
TRIES = 3  # of one file, each from where the one before was cut off
_CHUNK = 2**20
_LONGEST_NAME = 255  # bytes, of file systems


@dataclass(frozen=True)
class Entry:
    """An object as the bucket lists it; ``name`` is its path below the source."""

    name: str
    key: str
    etag: str
    size: int
    modified: float  # seconds since 1970

    @property
    def version(self) -> tuple[str, str, int]:
        """What is equal where the content is."""
        return self.name, self.etag, self.size


@dataclass(frozen=True)
class Listing:
    """What a source holds: a folder's files, or the one file ``only``."""

    entries: tuple[Entry, ...]
    only: str = ""

    @property
    def key(self) -> str:
        """What is equal where all contents are."""
        return _key([entry.version for entry in self.entries])


def is_bucket(source: str) -> bool:
    """Return whether a data source lies in a bucket."""
    return source.lower().startswith(SCHEME)


def bucket_of(source: str) -> Bucket:
    """Return the bucket and the prefix that such a source names.

    Raises:
        UserError: It is no such URL, or holds credentials.
    """
    location = parse_location(SCHEME + source[len(SCHEME) :], "the data's")
    assert isinstance(location, Bucket), source
    return location


def fetched(source: str, cache: Path, say: Callable[[str], None]) -> Path:
    """Return this host's copy of a source in a bucket, fetched if it is not there yet.

    Raises:
        UserError: The bucket does not exist, or nothing lies there.
        ProblemsError: Objects have names that no folder can hold.
        WorldError: The bucket cannot be read, or the cache not be written.
    """
    place = bucket_of(source)
    bucket = S3Bucket(place.name, place.endpoint_url, "the bucket")
    listing = _listed(bucket, place.prefix)
    if not listing.entries:
        raise UserError(f"nothing lies at {source}: check the bucket and the prefix")
    if problems := list(_name_problems(listing.entries)):
        raise ProblemsError(source, condensed(problems))
    folder = cache / SOURCES / _key([place.endpoint_url, place.name, place.prefix])
    copy = folder / listing.key
    try:
        if not copy.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / "lock"):
                if not copy.is_dir():
                    _Fetch(bucket, folder, listing, source, say).run()
        with suppress(PermissionError):  # a cache that others have filled
            os.utime(copy)  # it is in use: `search gc --prepared` leaves it
    except OSError as error:
        raise WorldError(
            f"cannot write the copy of {source} to {folder}: {error.strerror}; free space or choose "
            f"another --cache"
        ) from error
    return copy / listing.only if listing.only else copy


def _listed(bucket: S3Bucket, prefix: str) -> Listing:
    """Return what lies below a prefix, else the object of that name; of a YAML file all beside it."""
    above, _, last = prefix.rpartition("/")
    if last.lower().endswith((".yaml", ".yml")):
        return Listing(tuple(_entries(bucket, f"{above}/" if above else "")), last)
    below = tuple(_entries(bucket, f"{prefix}/" if prefix else ""))
    if below or not prefix:
        return Listing(below)
    root = f"{above}/" if above else ""
    exact = tuple(each for each in _entries(bucket, prefix, root) if each.key == prefix)
    return Listing(exact, last)


def _entries(bucket: S3Bucket, prefix: str, root: str | None = None) -> Iterator[Entry]:
    """Yield the objects whose keys begin with ``prefix``, named from ``root`` on, by name; markers
    of folders are none.
    """
    root = prefix if root is None else root
    with bucket.one_line("list", f"{SCHEME}{bucket.name}/{prefix}"):
        pages = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket.name, Prefix=prefix
        )
        found = [entry for page in pages for entry in page.get("Contents", ())]
    for entry in sorted(found, key=lambda each: str(each["Key"])):
        if not entry["Key"].endswith("/"):
            key, modified = entry["Key"], entry["LastModified"].timestamp()
            yield Entry(key[len(root) :], key, entry["ETag"], entry["Size"], modified)


def _name_problems(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Yield a problem for each object that no folder can hold under its name."""
    names = {entry.name for entry in entries}
    for entry in entries:
        parts = entry.name.split("/")
        long = max(len(part.encode("utf-8", "surrogatepass")) for part in parts) > _LONGEST_NAME
        above = {str(each) for each in PurePosixPath(entry.name).parents}
        if long or {"", ".", ".."} & set(parts) or "\0" in entry.name or above & names:
            yield Problem(entry.key, "must have a name that a folder can hold", repr(entry.name))


@dataclass
class _Fetch:
    """The fetching of one listing; its caller holds the lock for it."""

    bucket: S3Bucket
    folder: Path  # of all copies of the place
    listing: Listing
    source: str
    say: Callable[[str], None]

    @property
    def draft(self) -> Path:
        """The copy that is not whole yet."""
        return self.folder / f".{self.listing.key}"

    @property
    def parts(self) -> Path:
        """Files that are not whole yet."""
        return self.folder / f".{self.listing.key}.parts"

    def run(self) -> None:
        """Fetch what is missing; the copy appears whole."""
        self.parts.mkdir(parents=True, exist_ok=True)
        self.draft.mkdir(exist_ok=True)
        self._take_over()
        missing = [each for each in self.listing.entries if not self._is_whole(each)]
        self._refuse_full(missing)
        size = sum(entry.size for entry in missing)
        self.say(f"fetching {len(missing):,} files ({size / 2**20:,.1f} MiB) of {self.source}")
        pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        try:
            for _ in pool.map(self._fetch, missing):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
        versions = [entry.version for entry in self.listing.entries]
        (self.folder / f"{self.listing.key}.json").write_text(json.dumps(versions))
        self.draft.rename(self.folder / self.listing.key)
        shutil.rmtree(self.parts, ignore_errors=True)

    def _is_whole(self, entry: Entry) -> bool:
        path = self.draft / entry.name
        return path.is_file() and path.stat().st_size == entry.size

    def _take_over(self) -> None:
        """Link what has not changed since another copy of the place was made."""
        wanted = {entry.version for entry in self.listing.entries if not self._is_whole(entry)}
        for made in sorted(self.folder.glob("*.json")):
            for name, etag, size in json.loads(made.read_text()):
                before = made.with_suffix("") / name
                if (name, etag, size) in wanted and before.is_file():
                    wanted.discard((name, etag, size))
                    path = self.draft / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.hardlink_to(before)

    def _refuse_full(self, missing: Sequence[Entry]) -> None:
        """Refuse to begin what the disk has no room for.

        Raises:
            WorldError: It has none.
        """
        there = sum(part.stat().st_size for part in self.parts.iterdir())
        needed = sum(entry.size for entry in missing) - there
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise WorldError(
                f"{self.source} needs {needed / 2**30:.2f} GiB in {self.folder}, and "
                f"{free / 2**30:.2f} GiB are free; free space or choose another --cache"
            )

    def _fetch(self, entry: Entry) -> None:
        """Fetch one file, going on with what is there of it."""
        part = self.parts / hashlib.sha256(entry.name.encode()).hexdigest()
        for left in reversed(range(TRIES)):
            try:
                self._append(entry, part)
                break
            except StoreAwayError:
                if not left:
                    raise
        os.utime(part, (entry.modified, entry.modified))  # equal copies have equal times
        path = self.draft / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)

    def _append(self, entry: Entry, part: Path) -> None:
        url = f"{SCHEME}{self.bucket.name}/{entry.key}"
        with part.open("ab") as opened, self.bucket.one_line("read", url):
            there = opened.tell()
            if there < entry.size:
                answer = self.bucket.client.get_object(
                    Bucket=self.bucket.name,
                    Key=entry.key,
                    IfMatch=entry.etag,
                    Range=f"bytes={there}-",
                )
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    opened.write(chunk)
            if opened.tell() != entry.size:
                opened.truncate(0)
                raise StoreAwayError(f"{url} was cut off: run the same command again")


def _key(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]
