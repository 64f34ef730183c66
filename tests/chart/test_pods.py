"""Real containers out of the chart's pod templates: secrets, ids, a root that cannot be written, and a
worker that is told to leave. Needs root, podman, runc and tini.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.chart.lab import Lab
from tests.chart.podman import Podman, lacking_podman
from tests.chart.tools import lacking_helm
from tests.support.ports import free_port
from tests.support.waiting import wait_for

UID = 12345  # of no user here

if LACKING := lacking_helm() or lacking_podman():
    pytest.skip(LACKING, allow_module_level=True)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with tempfile.TemporaryDirectory(prefix="search-pods-") as folder:
        made = Podman(Path(folder))
        yield made
        made.close()


def test_a_pod_searches_as_nobody_and_leaves_with_75(lab: Lab, podman: Podman) -> None:
    podman.keep(lab.secrets)
    ids = ["runAsUser", "runAsGroup", "fsGroup"]
    values = [f"podSecurityContext.{each}={UID}" for each in ids]
    init = podman.play("init", lab.job("init", *values)["spec"]["template"])
    wait_for(lambda: podman.exit_code(init) is not None, told=lambda: podman.call("logs", init))
    assert podman.exit_code(init) == 0, podman.call("logs", init)

    worker = podman.play("worker", lab.job("worker", *values)["spec"]["template"])

    def logs() -> str:
        return podman.call("logs", worker)

    wait_for(lambda: " epoch " in logs() or podman.exit_code(worker) is not None, told=logs)
    check_inside(podman, worker)
    podman.call("stop", "--time", 30, worker)
    assert podman.exit_code(worker) == 75, logs()
    held = "SELECT state, owner FROM trials JOIN search_lease USING (trial_id)"
    assert lab.query(held) == [("RUNNING", "")], "given back"

    wrong = lab.job("worker", 'worker.options=["--data", "synthetic:40"]')
    refused = podman.play("refused", wrong["spec"]["template"])
    wait_for(lambda: podman.exit_code(refused) is not None)
    assert podman.exit_code(refused) == 2, podman.call("logs", refused)


def test_the_dashboard_answers_its_probe(lab: Lab, podman: Podman) -> None:
    podman.keep(lab.secrets)
    assert lab.run_to_end("init") == 0
    template = lab.manifest("Deployment", "dashboard")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    port = free_port()  # the pod has the machine's network
    container["args"] = [str(port) if each == "8080" else each for each in container["args"]]
    dashboard = podman.play("dashboard", template)
    path = container["readinessProbe"]["httpGet"]["path"]
    # by the pod's address, as a kubelet asks
    asked = Request(f"http://127.0.0.1:{port}{path}", headers={"Host": "10.1.2.3:8080"})

    def answer() -> int:
        try:
            with urlopen(asked, timeout=10) as answered:
                return int(answered.status)
        except OSError:
            return 0

    wait_for(lambda: answer() == 200, told=lambda: podman.call("logs", dashboard))
    podman.call("stop", "--time", 30, dashboard)
    assert podman.exit_code(dashboard) == 0


def check_inside(podman: Podman, worker: str) -> None:
    """The container is what its template says, seen from inside."""

    def shell(command: str, code: int = 0) -> str:
        return podman.call("exec", worker, "sh", "-c", command, code=code)

    told: dict[str, Any] = dict(
        line.split(":\t", 1) for line in shell("cat /proc/1/status").splitlines() if ":\t" in line
    )
    assert told["Name"] == "tini"
    assert told["Uid"].split() == told["Gid"].split() == [str(UID)] * 4
    assert (int(told["CapEff"], 16), told["NoNewPrivs"], told["Seccomp"]) == (0, "1", "2")
    assert "Read-only file system" in shell("touch /opt/x", 1)
    shell("touch /tmp/x /cache/x /dev/shm/x")
    assert "tini -- search worker" in shell("tr '\\0' ' ' </proc/1/cmdline")
