"""A pod's container as a process of this machine: arguments, settings and secrets of its template,
and a folder for each of its volumes.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.chart.tools import ROOT

Secrets = dict[str, dict[str, str]]


def settings_of(container: dict[str, Any], secrets: Secrets) -> dict[str, str]:
    """Return a container's environment; a Secret or key that is not there is an error, as in a
    cluster.
    """
    found: dict[str, str] = {}
    for each in container.get("envFrom", []):
        found |= secrets[each["secretRef"]["name"]]
    for each in container["env"]:
        if "value" in each:
            found[each["name"]] = each["value"]
        else:
            asked = each["valueFrom"]["secretKeyRef"]
            found[each["name"]] = secrets[asked["name"]][asked["key"]]
    return found


class ProcessPod:
    """One container of a pod template, begun at once."""

    def __init__(self, template: dict[str, Any], secrets: Secrets, folder: Path) -> None:
        (container,) = template["spec"]["containers"]
        places = self._places(container, folder)
        settings = {
            name: self._placed(value, places)
            for name, value in settings_of(container, secrets).items()
        }
        kept = {
            name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ
        }
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "search", *container["args"]],
                env={**kept, "PYTHONPATH": str(ROOT), **settings},
                stdout=log,
                stderr=log,
                cwd=places["/tmp"],
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        """End its process without a word, as the kernel does for its memory."""
        os.kill(self.process.pid, signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @staticmethod
    def _places(container: dict[str, Any], folder: Path) -> dict[str, str]:
        folder.mkdir()
        mounts = [each["mountPath"] for each in container["volumeMounts"]]
        return {mount: tempfile.mkdtemp(dir=folder) for mount in mounts}

    @staticmethod
    def _placed(value: str, places: dict[str, str]) -> str:
        for mount, place in places.items():
            if value == mount or value.startswith(f"{mount}/"):
                return place + value.removeprefix(mount)
        return value
