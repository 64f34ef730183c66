"""Where a study's data lies, as it is stored, and as a host reads it."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from objectives.data.reading.source import existing_path
from objectives.data.reading.synthetic import is_synthetic
from search.artifacts.sources import bucket_of, fetched, is_bucket


def data_path(source: str) -> str:
    """Return a data source as the study stores it: an absolute path, the URL of a bucket, or the
    generator's word.

    Raises:
        ProblemsError: Nothing is there.
        UserError: The URL cannot be read.
    """
    if is_bucket(source):
        bucket_of(source)
        return source
    return source if is_synthetic(source) else str(existing_path(source).resolve())


def _on_stderr(line: str) -> None:
    with suppress(OSError, ValueError):  # nobody listens any more
        print(line, file=sys.stderr, flush=True)


def here(source: str, cache: Path, say: Callable[[str], None] = _on_stderr) -> str:
    """Return what a data source is on this host: of a bucket the copy below ``cache``, fetched once,
    which ``say`` tells; any other is what it is.

    It raises as `fetched`.
    """
    return str(fetched(source, cache, say)) if is_bucket(source) else source
