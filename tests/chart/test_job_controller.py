"""The double itself: pods without processes, whose codes the test says."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.chart.job_controller import DISRUPTED, JobController, action

POLICY = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": DISRUPTED, "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}},
    ]
}


@dataclass
class Told:
    """A pod that ends when the test says so."""

    code: int | None = None
    terminated: bool = False

    def exit_code(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated = True

    def kill(self) -> None:
        self.code = 137

    def said(self) -> str:
        return ""


def job(parallelism: int, policy: dict[str, Any] = POLICY) -> tuple[JobController, list[Told]]:
    """A Job of pods that have begun, and these."""
    begun: list[Told] = []

    def start(number: int, template: dict[str, Any]) -> Told:
        begun.append(Told())
        return begun[-1]

    spec = {"parallelism": parallelism, "backoffLimit": 1, "podFailurePolicy": policy}
    template = {"spec": {"restartPolicy": "Never"}}
    controller = JobController({"spec": {**spec, "template": template}}, start)
    controller.step()
    return controller, begun


def test_the_first_success_of_a_queue_means_that_no_pod_is_begun_any_more() -> None:
    controller, begun = job(3)
    begun[0].code = 0
    controller.step()
    begun[1].code = 75
    controller.step()
    assert (controller.state, len(begun), len(controller.active)) == ("Active", 3, 1)
    begun[2].code = 0
    controller.step()
    assert controller.state == "Complete"


def test_what_is_ignored_is_replaced_however_often_and_what_counts_until_the_limit() -> None:
    controller, begun = job(1)
    for code in (75, 75, 75, 1):
        begun[-1].code = code
        controller.step()
    assert (controller.state, len(begun)) == ("Active", 5)
    begun[-1].code = 137
    controller.step()
    assert (controller.state, len(begun)) == ("Failed", 5)


def test_a_failed_job_tells_its_pods_to_leave_and_begins_none() -> None:
    controller, begun = job(2)
    begun[0].code = 2
    controller.step()
    assert (controller.state, begun[1].terminated, len(begun)) == ("Failed", True, 2)


def test_a_drained_pod_does_not_count_whatever_its_code() -> None:
    controller, begun = job(1)
    controller.drain(controller.active[0])
    assert begun[0].terminated
    begun[0].code = 2
    controller.step()
    assert (controller.state, controller.actions, len(begun)) == ("Active", ["Ignore"], 2)


@pytest.mark.parametrize(("code", "expected"), [(3, "Ignore"), (2, "Count"), (0, "Ignore")])
def test_codes_may_be_excluded(code: int, expected: str) -> None:
    policy = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [2]}}]}
    assert action(policy, code, set()) == expected
