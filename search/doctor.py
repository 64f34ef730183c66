"""``search doctor``: what this machine has and lacks for a search."""

import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
from sqlalchemy import text

from objectives.errors import SearchError
from search.blobs import check_writable, open_blobs
from search.commands.options import Place, open_place
from search.gpus import list_gpus
from search.hosts import cores
from search.storage import open_engine, reachable, redact

GIB = 2**30
LEAST_FREE_GIB = 5.0
LEAST_MEMORY_GIB = 3.0
PACKAGES = ("torch", "optuna", "optuna-dashboard", "sqlalchemy", "albumentations", "onnxruntime")


@dataclass(frozen=True)
class Finding:
    """One thing that a search needs, and what was found of it."""

    what: str
    good: bool
    found: str


def examine(storage: str, artifacts: str, home: Path | None, cache: Path | None) -> list[Finding]:
    """Look at everything; nothing found wrong ends the examination early."""
    findings = [
        Finding("versions", True, ", ".join([f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)])),
        Finding("cores", True, f"{cores():g}"),
        _memory(),
        _gpus(),
    ]
    try:
        with open_place(storage, artifacts, home, cache) as place:
            checks: dict[str, Callable[[Place], str]] = {"database": _database, "artifacts": _artifacts, "cache": _cache}
            findings += [_tried(what, check, place) for what, check in checks.items()]
    except SearchError as error:
        findings.append(Finding("database", False, str(error)))
    return findings


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    return Finding("memory", memory.available / GIB >= LEAST_MEMORY_GIB, found)


def _gpus() -> Finding:
    gpus = list_gpus()
    found = "; ".join(f"{gpu.name}, {gpu.memory_bytes / GIB:.0f} GiB" for gpu in gpus)
    return Finding("gpus", True, found or "none: trials train on the CPU, which suits the presets small and tiny")


def _tried(what: str, check: Callable[[Place], str], place: Place) -> Finding:
    try:
        return Finding(what, True, check(place))
    except (SearchError, OSError) as error:
        return Finding(what, False, str(error))


def _database(place: Place) -> str:
    engine = open_engine(place.storage)
    with reachable(place.storage), engine.connect() as connection:
        server = str(connection.execute(text("SHOW server_version")).scalar_one())
        most = str(connection.execute(text("SHOW max_connections")).scalar_one())
    engine.dispose()
    return f"PostgreSQL {server} at {redact(place.storage)}, {most} connections (a worker takes up to 4)"


def _artifacts(place: Place) -> str:
    check_writable(open_blobs(place.artifacts))
    return f"{place.artifacts} can be written"


def _cache(place: Place) -> str:
    place.cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place.cache).free / GIB
    if free < LEAST_FREE_GIB:
        raise OSError(f"{place.cache} has {free:.1f} GiB free: make room, or choose another folder with --cache")
    return f"{place.cache}, {free:.0f} GiB free"
