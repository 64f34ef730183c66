"""The chart's Jobs under a double of the Job controller, with real workers as processes: one is
drained, one deleted, one killed. Every trial ends once, under its number.
"""

import re
from collections import Counter
from collections.abc import Callable

import pytest
import yaml

from tests.chart.job_controller import JobController, Running
from tests.chart.lab import EPOCHS, TRIALS, WORKERS, Lab
from tests.chart.tools import CHART, lacking_helm

if lacking_helm():
    pytest.skip(lacking_helm(), allow_module_level=True)

pytestmark = pytest.mark.timeout(900)


def ended(lab: Lab, component: str, *values: str) -> JobController:
    """Run a Job to its end."""
    controller = JobController(lab.job(component, *values), lab.start)
    controller.run(lambda: controller.state != "Active" and not controller.active, 300, lab.logs)
    return controller


def trains(running: Running) -> bool:
    """Return whether a worker is in the first half of a trial."""
    said = re.findall(r"trial \d+ epoch (\d+)|(completed)", running.pod.said())
    return bool(said) and 0 < int(said[-1][0] or 0) < EPOCHS / 2


def test_workers_that_are_taken_away_are_replaced_and_every_trial_ends_once(lab: Lab) -> None:
    assert ended(lab, "init").actions == ["Succeeded"]
    assert demand(lab) == TRIALS
    controller = JobController(lab.job("worker"), lab.start)
    take: list[Callable[[Running], None]] = [
        controller.drain,
        lambda running: running.pod.terminate(),  # `kubectl delete pod`
        lambda running: running.pod.kill(),
    ]
    for number, take_away in enumerate(take):
        controller.run(lambda: any(map(trains, controller.active)), 120, lab.logs)
        (chosen, *_) = filter(trains, controller.active)
        take_away(chosen)
        controller.run(lambda number=number: len(controller.ended) > number, 60, lab.logs)
        assert controller.ended[-1][0] == chosen.number, lab.logs()
        assert len(controller.active) == WORKERS, "replaced"
    assert [how for _, *how in controller.ended] == [[75, "Ignore"], [75, "Ignore"], [137, "Count"]]
    controller.run(lambda: controller.state == "Complete", 400, lab.logs)
    assert controller.actions[3:] == ["Succeeded"] * WORKERS
    assert demand(lab) == 0
    check_trials(lab)


def demand(lab: Lab) -> int:
    """Return how many workers the example for KEDA would want, by its query."""
    example = yaml.safe_load((CHART / "examples" / "keda.yaml").read_text())
    (trigger,) = example["spec"]["triggers"]
    ((wanted,),) = lab.query(trigger["metadata"]["query"])
    return int(wanted)


def check_trials(lab: Lab) -> None:
    """Every trial is there once, under its number, with all its epochs; three were begun again."""
    states = lab.query("SELECT number, state FROM trials ORDER BY number")
    assert states == [(number, "COMPLETE") for number in range(TRIALS)]
    epochs = lab.query("""SELECT number, array_agg(step ORDER BY step) FROM trials
        JOIN trial_intermediate_values USING (trial_id) GROUP BY number ORDER BY number""")
    assert epochs == [(number, [*range(1, EPOCHS + 1)]) for number in range(TRIALS)]
    told = Counter(map(int, re.findall(r"trial (\d+) completed", lab.logs())))
    assert told == dict.fromkeys(range(TRIALS), 1)
    begun = Counter(map(int, re.findall(r"trial (\d+) (?:starts|goes on)", lab.logs())))
    assert sum(begun.values()) == TRIALS + 3, lab.logs()


def test_a_users_mistake_fails_the_job_and_the_others_leave(lab: Lab) -> None:
    assert ended(lab, "init").state == "Complete"
    again = ended(lab, "init", "study.trials=4")
    assert (again.state, again.actions) == ("Failed", ["FailJob"])
    controller = ended(lab, "worker", 'worker.options=["--data", "synthetic:40"]')
    assert controller.state == "Failed"
    assert len(controller.ended) == WORKERS, "nobody was replaced"
    assert controller.ended[0][1:] == (2, "FailJob")
    assert lab.query("SELECT count(*) FROM trials WHERE state <> 'WAITING'") == [(0,)]
    # another value makes another Job, whose workers find the study as it was
    assert lab.job("worker")["metadata"]["name"] != controller.manifest["metadata"]["name"]
