"""Options that several commands share, and the place (database, artifacts, cache) that they name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer

from objectives.errors import UserError
from search.embedded import default_home, embedded_postgres

StudyName = Annotated[str, typer.Option("--study", envvar="SEARCH_STUDY", help="Name of the study.")]
Storage = Annotated[
    str, typer.Option("--storage", envvar="SEARCH_STORAGE", help="Postgres URL; without one, the embedded database of --home.")
]
Artifacts = Annotated[
    str,
    typer.Option(
        "--artifacts", envvar="SEARCH_ARTIFACTS", help="Folder or s3://bucket/prefix; without one, a folder of --home."
    ),
]
Home = Annotated[
    Optional[Path],  # noqa: UP045  # typer reads the annotation
    typer.Option(
        "--home", envvar="SEARCH_HOME", help="Folder of embedded studies and the cache.  [default: user's data folder]"
    ),
]
Cache = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--cache", envvar="SEARCH_CACHE", help="Folder of prepared data, shared by the workers of a host."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Size = Annotated[str, typer.Option("--size", help="Resize every frame to HxW, for example 64x128.")]
MinIdentical = Annotated[
    int, typer.Option("--min-identical", min=2, help="Frames sharing one mask of several classes are dropped from so many on.")
]


@dataclass(frozen=True)
class Place:
    """Where a command works: a database, an artifact store and a cache folder."""

    storage: str
    artifacts: str
    cache: Path


@contextmanager
def open_place(storage: str, artifacts: str = "", home: Path | None = None, cache: Path | None = None) -> Iterator[Place]:
    """The named places, with those of ``home`` for what is not named; the embedded database runs meanwhile."""
    folder = home or default_home()
    rest = (artifacts or str(folder / "artifacts"), cache or folder / "cache")
    if storage:
        yield Place(storage, *rest)
        return
    with embedded_postgres(folder) as url:
        yield Place(url, *rest)


def parse_size(size: str) -> tuple[int, int] | None:
    """``64x128`` as (height, width); None for an empty text.

    Raises: UserError for anything else.
    """
    if not size:
        return None
    if not (match := re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size)):
        raise UserError(f"--size must be HEIGHTxWIDTH like 64x128, got {size!r}")
    return int(match[1]), int(match[2])


def parse_duration(text: str) -> float:
    """``90s``, ``60m``, ``1.5h`` or ``2d`` in seconds; 0 for an empty text.

    Raises: UserError for anything else.
    """
    if not text:
        return 0.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not match or float(match[1]) == 0:
        raise UserError(f"--until must be a time like 90s, 60m, 1.5h or 2d, got {text!r}")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
