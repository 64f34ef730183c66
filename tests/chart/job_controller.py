"""A double of the Job controller: what a Job's manifest says becomes of pods that end.

It knows ``parallelism``, ``backoffLimit``, ``podFailurePolicy`` and a Job without ``completions`` (a
work queue), as Kubernetes' documentation describes them. It is no Kubernetes: it waits between no
two starts, has no nodes, no quotas and no time limits.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

DISRUPTED = "DisruptionTarget"


class Pod(Protocol):
    """A pod's one container."""

    def exit_code(self) -> int | None:
        """Return the code of a container that has ended."""

    def terminate(self) -> None:
        """Ask it to leave: SIGTERM."""

    def kill(self) -> None:
        """End it without a word."""

    def said(self) -> str:
        """Return its log."""


def action(policy: dict[str, Any], code: int, conditions: set[str]) -> str:
    """Return what becomes of a failed pod by the first rule that it meets."""
    for rule in policy["rules"]:
        asked = {each["type"] for each in rule.get("onPodConditions", [])}
        codes = rule.get("onExitCodes", {"operator": "In", "values": []})
        listed = code in codes["values"]
        if asked & conditions or (listed == (codes["operator"] == "In") and codes["values"]):
            return str(rule["action"])
    return "Count"


@dataclass
class Running:
    """A pod, and what the cluster knows of it."""

    number: int
    pod: Pod
    conditions: set[str] = field(default_factory=set)


@dataclass
class JobController:
    """The pods of one Job, by its manifest."""

    manifest: dict[str, Any]
    start: Callable[[int, dict[str, Any]], Pod]
    active: list[Running] = field(default_factory=list)
    ended: list[tuple[int, int, str]] = field(default_factory=list)  # number, code, action
    state: str = "Active"

    def __post_init__(self) -> None:
        spec = self.manifest["spec"]
        assert "completions" not in spec, "this double knows work queues alone"
        assert spec["template"]["spec"]["restartPolicy"] == "Never"

    @property
    def actions(self) -> list[str]:
        return [action for *_, action in self.ended]

    def step(self) -> None:
        """Look at every pod once; replace, end or fail as the manifest says."""
        for running in list(self.active):
            if (code := running.pod.exit_code()) is not None:
                self.active.remove(running)
                self._judge(running, code)
        spec = self.manifest["spec"]
        if self.actions.count("Count") > spec["backoffLimit"]:
            self._fail()
        if self.state == "Active" and "Succeeded" in self.actions:
            self.state = "Active" if self.active else "Complete"
        elif self.state == "Active":
            while len(self.active) < spec.get("parallelism", 1):
                number = len(self.active) + len(self.ended)
                self.active.append(Running(number, self.start(number, spec["template"])))

    def run(self, until: Callable[[], object], timeout_s: float, told: Callable[[], str]) -> None:
        """Look again and again until something is so."""
        deadline = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline, f"{self.state} {self.ended}\n{told()}"
            self.step()
            time.sleep(0.1)

    def drain(self, running: Running) -> None:
        """Take a pod's node away, with the condition that the API for evictions sets."""
        running.conditions.add(DISRUPTED)
        running.pod.terminate()

    def _judge(self, running: Running, code: int) -> None:
        policy = self.manifest["spec"]["podFailurePolicy"]
        what = action(policy, code, running.conditions) if code else "Succeeded"
        self.ended.append((running.number, code, what))
        if what == "FailJob":
            self._fail()

    def _fail(self) -> None:
        if self.state != "Failed":
            self.state = "Failed"
            for running in self.active:
                running.pod.terminate()
