"""Pods of this machine by ``podman kube play``: real containers out of a pod template, without a
cluster, in a store of their own.

The image holds nothing: Python, the program and its libraries are this machine's, mounted read-only.
So the template is tested, not the Dockerfile. Podman knows neither Jobs nor the size and medium of
an ``emptyDir``, and its pods use the machine's network here.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from tests.chart.processes import Secrets
from tests.chart.tools import ROOT

PROGRAMS = ("podman", "runc", "conmon", "catatonit", "tini")
INSTALL = "apt-get install --no-install-recommends podman runc conmon catatonit tini"
IMAGE = "localhost/search-of-this-machine:1"
START = Path("/opt/search")
SHELL = f'#!/bin/sh\nexec {sys.executable} -m search "$@"\n'


def lacking_podman() -> str:
    """Return why no pod can run here; empty where one can."""
    if os.geteuid() != 0:
        return "pods of podman's need root here"
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    return f"{', '.join(missing)} missing: {INSTALL}" if missing else ""


def mounts() -> list[str]:
    """Return the folders of this machine that a container needs, none inside another."""
    needed = {Path(each).resolve() for each in ("/usr", sys.prefix, sys.base_prefix, ROOT)}
    return sorted(
        str(each) for each in needed if not any(other in each.parents for other in needed)
    )


class Podman:
    """Podman with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pods: list[Path] = []
        self.secrets: list[str] = []
        runtime = Path(__file__).with_name("runc-plain")
        self.words = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run"]
        self.words += ["--storage-driver", "vfs", "--runtime", str(runtime)]
        self._build()

    def call(self, *words: object, code: int | None = 0, given: str = "") -> str:
        """Return what podman prints, both streams together."""
        done = subprocess.run(
            [*self.words, *map(str, words)],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert code in (None, done.returncode), f"{words}: {done.stdout}"
        return done.stdout

    def keep(self, secrets: Secrets) -> None:
        """Make Secrets known, in the form in which podman 4 reads single keys of them."""
        for name, values in secrets.items():
            self.call("secret", "rm", name, code=None)  # of a test before
            coded = {
                key: base64.b64encode(value.encode()).decode() for key, value in values.items()
            }
            self.call("secret", "create", name, "-", given=json.dumps(coded))
            self.secrets.append(name)

    def play(self, name: str, template: dict[str, Any]) -> str:
        """Start a pod; return its container's name."""
        spec = json.loads(json.dumps(template["spec"]))
        spec |= {"hostNetwork": True}
        (container,) = spec["containers"]
        for each in [*spec["volumes"], *container["volumeMounts"]]:
            each["name"] = f"{name}-{each['name']}"  # podman's volumes are of all pods
        for number, folder in enumerate(mounts()):
            spec["volumes"].append({"name": f"host-{number}", "hostPath": {"path": folder}})
            container["volumeMounts"].append(
                {"name": f"host-{number}", "mountPath": folder, "readOnly": True}
            )
        container |= {"image": IMAGE, "imagePullPolicy": "Never"}
        container.pop("ports", None)  # of a network of its own
        container["env"].append({"name": "PYTHONPATH", "value": str(ROOT)})
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(pod))
        self.pods.append(file)
        self.call("kube", "play", file)
        return f"{name}-{container['name']}"

    def exit_code(self, container: str) -> int | None:
        state = json.loads(self.call("inspect", container))[0]["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def close(self) -> None:
        """Remove every pod and secret that was made here, and the store."""
        for file in self.pods:
            self.call("kube", "down", file, code=None)
        for name in self.secrets:
            self.call("secret", "rm", name, code=None)
        self.call("system", "reset", "--force", code=None)

    def _build(self) -> None:
        archive = self.folder / "image.tar"
        with tarfile.open(archive, "w") as tar:
            for name in ("bin", "lib", "lib64", "sbin"):
                if (path := Path("/", name)).is_symlink():
                    link = tarfile.TarInfo(name)
                    link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
                    tar.addfile(link)
            start = tarfile.TarInfo(str(START.relative_to("/")))
            start.size, start.mode = len(SHELL), 0o755
            tar.addfile(start, BytesIO(SHELL.encode()))
        (entry,) = re.findall(r"^ENTRYPOINT .*$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        path = f"ENV PATH={START.parent}:/usr/bin:/bin"
        self.call("import", "--change", entry, "--change", path, archive, IMAGE)
