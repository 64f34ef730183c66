"""A short text that changes when files do: by path, size and time of change, without
reading them.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def stamp_of(path: Path, files: Iterable[str], more: str = "") -> str:
    """Return the stamp of a source at ``path`` whose content lies in ``files``, and of what
    ``more`` is known of it.
    """
    digest = hashlib.sha256(os.fsencode(path))
    for file in files:
        facts = os.lstat(file) if not os.path.exists(file) else os.stat(file)  # noqa: PTH110, PTH116 - a Path each is slow
        digest.update(os.fsencode(file) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    digest.update(more.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
