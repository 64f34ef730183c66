"""``search serve`` as a process of its own."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Serving:
    """A process that serves, and the settings that it has printed."""

    process: subprocess.Popen[str]
    storage: str
    artifacts: str

    @property
    def settings(self) -> dict[str, str]:
        return {"SEARCH_STORAGE": self.storage, "SEARCH_ARTIFACTS": self.artifacts}


@contextmanager
def serving(search: Any, home: Path, port: int, *words: object) -> Iterator[Serving]:
    """Serve a home on loopback until the test ends, or has ended it."""
    where = ["--home", home, "--host", "127.0.0.1", "--port", port]
    process = search.start("serve", *where, *words)
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        found = [re.fullmatch(r"export SEARCH_[A-Z]+=(.*)\n", line) for line in lines]
        if not all(found):
            process.kill()
            raise AssertionError(f"{lines} {process.communicate()}")
        storage, artifacts = ["".join(shlex.split(each[1])) for each in found if each]
        yield Serving(process, storage, artifacts)
    finally:
        process.terminate()
        process.communicate(timeout=60)
