"""A worker's share of the cores, as the host, a container or Slurm has them."""

import pytest

from search.machine import hosts
from search.machine.hosts import cores, process_name, thread_share


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(hosts, "_cgroup_cores", lambda: float("inf"))
    for name in ("CPUS_PER_TASK", "JOB_ID", "STEP_ID", "PROCID"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)


@pytest.mark.parametrize(
    ("setting", "here", "expected"),
    [("8", 1, 8), ("8", 4, 2), ("4", 8, 1), ("64", 1, 16), ("64", 2, 8)],
)
def test_a_task_of_slurms_has_its_cores_to_itself_whoever_else_is_on_the_host(
    setting: str, here: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", setting)
    assert thread_share(on_host=here + 5, here=here) == expected
    assert cores() == min(16, int(setting))


@pytest.mark.parametrize("setting", [None, "", "0", "many", "-2", "4(x2)"])
def test_without_a_number_from_slurm_the_workers_of_the_host_share_it(
    setting: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting is not None:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", setting)
    assert thread_share(on_host=4, here=1) == 4
    assert cores() == 16
    assert "/" not in process_name()


def test_a_control_group_limits_a_task_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    monkeypatch.setattr(hosts, "_cgroup_cores", lambda: 3.0)
    assert thread_share(on_host=1, here=1) == 3


def test_workers_know_those_of_their_own_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    places = set()
    for task in ("0", "1"):
        monkeypatch.setenv("SLURM_PROCID", task)
        places.add(process_name().partition(":")[0])
    assert len(places) == 2
    assert all("/77." in place for place in places)
