"""The two source trees, and running a scene or the program itself in one of them."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database_bench.adapter import STUDY

REVISION = "1ef228e"  # what the present tree is compared with
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Tree:
    """One source tree, with the adapter of its name."""

    name: str
    folder: Path

    def scene(self, url: str, scene: str, **options: object) -> dict[str, Any]:
        """Run a scene in a process of its own, and return what it prints."""
        words = ["-m", "database_bench.side", self.name, url, scene, json.dumps(options)]
        done = subprocess.run(
            [sys.executable, *words],
            env=self._environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def status_s(self, url: str) -> tuple[float, float]:
        """Run `search status`, and return its seconds by the clock and on processors."""
        words = ["-m", "search", "status", "--study", STUDY, "--storage", url]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *words],
            env=self._environment(),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        wall_s = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall_s, cpu_s

    def _environment(self) -> dict[str, str]:
        rest = {name: value for name, value in os.environ.items() if not name.startswith("SEARCH_")}
        path = os.pathsep.join([str(self.folder), str(CHECKOUT / "tests")])
        # one zone, as the program sets it for itself
        return {**rest, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TZ": "UTC"}


def tree_of(name: str, folder: Path) -> Tree:
    """Return the present tree, or the old one, put into a folder."""
    if name == "new":
        return Tree(name, CHECKOUT)
    target = folder / name
    target.mkdir()
    archive = subprocess.run(
        ["git", "archive", REVISION], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", target], input=archive.stdout, check=True)
    return Tree(name, target)
