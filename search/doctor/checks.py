"""``search doctor``: what this machine has and lacks for a search."""

import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psutil
from sqlalchemy import text

from objectives.errors import SearchError, one_line
from search.artifacts import check_writable, open_blobs
from search.artifacts.location import Folder, parse_location
from search.database.capacity import read_capacity
from search.database.checks import refuse_unfit
from search.database.connections import open_engine, reachable
from search.database.embedded import default_home, is_made
from search.database.passwords import redacted, scrubbed
from search.database.schema import check_version
from search.doctor.finding import Finding
from search.doctor.gpus import examine_gpus
from search.machine.hosts import cores
from search.place import name_place, open_database

GIB = 2**30
LEAST_FREE_GIB = 5.0
LEAST_MEMORY_GIB = 3.0
PACKAGES = ("torch", "optuna", "optuna-dashboard", "sqlalchemy", "albumentations", "onnxruntime")


def examine(
    storage: str, artifacts: str, home: Path | None, cache: Path | None, per_gpu: str = ""
) -> list[Finding]:
    """Look at everything; nothing found wrong ends the examination early, and nothing is made for
    it.
    """
    place = name_place(storage, artifacts, home, cache)
    return [
        Finding(
            "versions",
            True,
            ", ".join(
                [f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]
            ),
        ),
        Finding("cores", True, f"{cores():g}"),
        _memory(),
        *examine_gpus(per_gpu),
        _tried("database", lambda: _database(storage, home), hidden=storage),
        _tried("artifacts", lambda: _artifacts(place.artifacts)),
        _tried("cache", lambda: _cache(place.cache)),
    ]


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    free = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    return Finding("memory", memory.available / GIB >= LEAST_MEMORY_GIB, free)


def _tried(what: str, check: Callable[[], str], hidden: str = "") -> Finding:
    try:
        return Finding(what, True, check())
    except (SearchError, OSError) as error:
        return Finding(what, False, scrubbed(one_line(str(error)), hidden))


def _database(storage: str, home: Path | None) -> str:
    if not storage and not is_made(folder := home or default_home()):
        return f"embedded, in {folder}: `search init` and `search run` make it"
    with open_database(storage, home) as url:
        engine = open_engine(url)
        with reachable(url), engine.connect() as connection:
            server = str(connection.execute(text("SHOW server_version")).scalar_one())
            refuse_unfit(connection)
            check_version(connection)
            capacity = read_capacity(connection)
        engine.dispose()
        parts = [f"PostgreSQL {server} at {redacted(url)}", str(capacity), capacity.warning()]
        return "; ".join(filter(None, parts))


def _artifacts(url: str) -> str:
    match parse_location(url):
        case Folder(path) if not path.exists():
            return f"{path}, to be made in {_writable_parent(path)}"
        case _:
            check_writable(open_blobs(url))
            return f"{url} can be written"


def _cache(folder: Path) -> str:
    free = shutil.disk_usage(_writable_parent(folder)).free / GIB
    if free < LEAST_FREE_GIB:
        raise OSError(
            f"{folder} has {free:.1f} GiB free: make room, or choose another folder with --cache"
        )
    return f"{folder}, {free:.0f} GiB free"


def _writable_parent(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    there = next(
        parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists()
    )
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise OSError(f"{there} cannot be written: choose another folder than {folder}")
    return there
