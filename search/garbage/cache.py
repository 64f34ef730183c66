"""The part of ``search gc`` that clears a host's cache: prepared data, copies of given weights, and
lock files that no study of the database uses, and copies of buckets that nobody has asked for of late.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Engine, text

from objectives.errors import UserError, WorldError
from search.artifacts.kept import KEPT
from search.artifacts.sources import SOURCES
from search.database.predicates import GIVEN_WEIGHTS, STUDIES
from search.garbage.store import Swept

# untouched for a day; and a day more, since file systems note that a file was read once a day
UNTOUCHED_S = 2 * 86400.0

PREPARED = re.compile(r"[0-9a-f]{24}")
# of a builder, or of this module, that was killed
LEFT_OVER = re.compile(r"\.([0-9a-f]{24})\.(?:draft|[0-9]+)")
LOCK = re.compile(r"([0-9a-f]{24})\.lock")

GIVEN = text(f"SELECT sha256 FROM {GIVEN_WEIGHTS}")
FINGERPRINTS = text(f"SELECT spec ->> 'data_fingerprint' FROM {STUDIES}")


def check_cache(cache: Path) -> None:
    """Refuse a cache whose file system does not record when a file was read.

    Raises:
        UserError: It does not.
        WorldError: The cache cannot be read.
    """
    try:
        unnoted = cache.exists() and os.statvfs(cache).f_flag & os.ST_NOATIME
    except OSError as error:
        raise WorldError(f"the cache {cache} cannot be read: {error.strerror}") from error
    if unnoted:
        raise UserError(
            f"--prepared: {cache} lies on a file system that does not note when files are read "
            f"(noatime), so nobody can tell "
            "what is in use: remove old folders in it by hand"
        )


def sweep_prepared(engine: Engine, cache: Path, *, dry_run: bool = False) -> list[Swept]:
    """Remove prepared data, copies of given weights, and empty lock files, that no study of the
    database uses and nothing has touched for a day, and copies of buckets as old.

    Raises:
        WorldError: The cache cannot be read or written.
    """
    with engine.connect() as connection:
        used = set(connection.execute(FINGERPRINTS).scalars())
        given = set(connection.execute(GIVEN).scalars())
    try:
        weights = [_remove_file(file, dry_run) for file in _unused_weights(cache / KEPT, given)]
        folders = [
            _remove(folder, cache / f"{key}.lock", dry_run) for folder, key in _unused(cache, used)
        ]
        removed = [_remove_source(copy, dry_run) for copy in _idle_sources(cache / SOURCES)]
        locks = [_remove_lock(lock, dry_run) for lock in _idle_locks(cache)]
    except OSError as error:
        raise WorldError(
            f"the cache {cache} cannot be cleared: {error.strerror} ({error.filename})"
        ) from error
    gone = [size for size in folders if size is not None]
    sources = [size for size in removed if size is not None]
    return [
        Swept("prepared", len(gone), sum(gone)),
        Swept("copies", len(weights), sum(weights)),
        Swept("sources", len(sources), sum(sources)),
        Swept("locks", sum(locks)),
    ]


def _unused_weights(folder: Path, given: set[str]) -> Iterator[Path]:
    """Yield the copies of weights that no study was given, and drafts of them."""
    for file in sorted(folder.glob("*")) if folder.is_dir() else []:
        facts = file.stat()
        touched_at = max(facts.st_mtime, facts.st_atime)
        if file.name not in given and time.time() - touched_at > UNTOUCHED_S:
            yield file


def _idle_sources(folder: Path) -> Iterator[Path]:
    """Yield the copies of buckets, whole or not, that nobody has asked for in a while: they are
    fetched again when somebody does.
    """
    for copy in sorted(folder.glob("*/*")):
        if copy.is_dir() and time.time() - copy.stat().st_mtime > UNTOUCHED_S:
            yield copy


def _remove_source(copy: Path, dry_run: bool) -> int | None:
    """Return the size of what was removed; None when somebody fetches at this moment."""
    files = [path for path in copy.rglob("*") if path.is_file()]
    size_bytes = sum(path.stat().st_size for path in files)
    if dry_run:
        return size_bytes
    with _held(copy.parent / "lock") as held:
        if not held:
            return None
        copy.with_suffix(".json").unlink(missing_ok=True)
        shutil.rmtree(copy)
    return size_bytes


def _remove_file(file: Path, dry_run: bool) -> int:
    size_bytes = file.stat().st_size
    if not dry_run:
        file.unlink(missing_ok=True)
    return size_bytes


def _unused(cache: Path, used: set[str]) -> Iterator[tuple[Path, str]]:
    """Yield each unused folder, with the key of its lock."""
    for folder in sorted(cache.glob("*")) if cache.is_dir() else []:
        left_over = LEFT_OVER.fullmatch(folder.name)
        if (
            folder.is_symlink()
            or not folder.is_dir()
            or not (left_over or PREPARED.fullmatch(folder.name))
        ):
            continue
        if time.time() - _touched_at(folder) > UNTOUCHED_S and (
            left_over or _fingerprint(folder) not in used
        ):
            yield folder, left_over[1] if left_over else folder.name


def _touched_at(folder: Path) -> float:
    """When the folder's pixels were last written or read. Its index does not count: this module
    reads it.
    """
    newest = folder.stat().st_mtime
    for file in folder.glob("*.npy"):
        with suppress(FileNotFoundError):
            facts = file.stat()
            newest = max(newest, facts.st_mtime, facts.st_atime)
    return newest


def _fingerprint(folder: Path) -> str:
    """Of the data in the folder; empty when it is damaged, so that nobody can use it."""
    try:
        return str(json.loads((folder / "index.json").read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _remove(folder: Path, lock: Path, dry_run: bool) -> int | None:
    """Return the size of what was removed; None when somebody builds it at this moment."""
    size_bytes = sum(file.stat().st_size for file in folder.glob("*"))
    if dry_run:
        return size_bytes
    with _held(lock) as held:
        if not held:
            return None
        hidden = (
            folder
            if folder.name.startswith(".")
            else folder.with_name(f".{folder.name}.{os.getpid()}")
        )
        folder.rename(hidden)  # it goes at once: nobody loads a half of it
        shutil.rmtree(hidden)
        lock.unlink(missing_ok=True)
    return size_bytes


def _idle_locks(cache: Path) -> Iterator[Path]:
    """Old empty locks of data that is not there."""
    for lock in sorted(cache.glob("*.lock")):
        key = LOCK.fullmatch(lock.name)
        with suppress(FileNotFoundError):
            facts = lock.stat()
            if (
                key
                and not (facts.st_size or (cache / key[1]).exists())
                and time.time() - facts.st_mtime > UNTOUCHED_S
            ):
                yield lock


def _remove_lock(lock: Path, dry_run: bool) -> bool:
    if dry_run:
        return True
    # whoever waits for a lock sees that its file is gone, and takes a new one
    with _held(lock) as held:
        if held:
            lock.unlink(missing_ok=True)
    return held


@contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """Yield whether the lock was free; then it is held meanwhile."""
    try:
        with FileLock(lock, timeout=0):
            yield True
    except Timeout:
        yield False
