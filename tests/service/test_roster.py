"""Who takes which GPU, and how many CPU threads: the driver is a stand-in with two GPUs, the database is real."""

import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pynvml
import pytest
from sqlalchemy import Engine, func, select, update

from objectives.errors import UserError, WorldError
from search import hosts, roster
from search.gpus import list_gpus
from search.status import read_status
from search.storage import open_engine
from search.study import Study, open_study
from search.tables import WORKER
from search.trials import device_limits
from search.worker import Orders, Settings
from search.worker_loop import run_worker, threads_of

UUIDS = ["GPU-aaaa-0", "GPU-bbbb-1"]


class Memory:
    total = 8 * 2**30


def join(engine: Engine, study_id: int, device: str) -> roster.Member:
    return roster.join(engine, study_id, device, uuid.uuid4().hex)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(UUIDS))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: UUIDS[handle])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: "Stand-in")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: Memory)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCudaComputeCapability", lambda handle: (8, 0) if handle else (7, 5))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)


def test_workers_that_start_at_once_take_a_gpu_each_and_share_the_least_loaded_after(
    two_gpus: None, small_study: Study, database: str
) -> None:
    def take(_: int) -> str:
        engine = open_engine(database)
        member = join(engine, small_study.id, "auto")
        engine.dispose()
        return member.gpu

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, range(4)))
    assert Counter(taken) == {UUIDS[0]: 2, UUIDS[1]: 2}
    assert take(0) in UUIDS


def test_a_gpu_is_free_again_when_its_worker_left_or_fell_silent(two_gpus: None, small_study: Study) -> None:
    first, second = (join(small_study.engine, small_study.id, "cuda") for _ in range(2))
    roster.leave(small_study.engine, second.id)
    third = join(small_study.engine, small_study.id, "cuda")
    assert [first.gpu, second.gpu, third.gpu] == [*UUIDS, UUIDS[1]]
    with small_study.engine.begin() as connection:
        connection.execute(update(WORKER).where(WORKER.c.id == first.id).values(seen_at=datetime(2000, 1, 1, tzinfo=UTC)))
    assert join(small_study.engine, small_study.id, "cuda").gpu == UUIDS[0]


def test_a_numbered_gpu_is_taken_however_loaded(two_gpus: None, small_study: Study) -> None:
    assert [join(small_study.engine, small_study.id, "cuda:1").gpu for _ in range(2)] == [UUIDS[1]] * 2
    with pytest.raises(UserError, match=r"cuda:0 to cuda:1 here, got 'cuda:2'"):
        join(small_study.engine, small_study.id, "cuda:2")


@pytest.mark.parametrize(("setting", "visible"), [("1", [1]), ("1,0", [1, 0]), ("GPU-bbbb", [1]), ("", []), ("7", [])])
def test_only_visible_gpus_are_listed(
    setting: str, visible: list[int], two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert [gpu.uuid for gpu in list_gpus()] == [UUIDS[index] for index in visible]


def test_without_a_driver_auto_is_the_cpu_and_cuda_is_refused(no_gpu: None, small_study: Study) -> None:
    assert join(small_study.engine, small_study.id, "auto").gpu == ""
    with pytest.raises(UserError, match="no GPU here"):
        join(small_study.engine, small_study.id, "cuda")


def test_a_gpu_that_the_driver_lists_and_cuda_cannot_use_takes_no_trial(
    two_gpus: None, database: str, make_study: Callable[..., None], tmp_path: Path
) -> None:
    make_study(database, trials=1)
    study = open_study(database, "small")
    settings = Settings(str(tmp_path / "artifacts"), tmp_path / "cache", device="auto")
    with pytest.raises(WorldError, match=r"CUDA does not start on GPU-.+: .+; use --device cpu"):
        run_worker(study, settings, Orders(), print)
    assert [worker["alive"] for worker in read_status(study).workers] == [False]
    assert [trial.state.name for trial in study.optuna.get_trials()] == ["WAITING"]
    study.close()


def test_live_workers_of_a_host_share_its_cores(small_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(hosts, "_cgroup_cores", lambda: float("inf"))
    members = [join(small_study.engine, small_study.id, "cpu") for _ in range(3)]
    assert roster.threads(small_study.engine) == 2
    half = Settings("", Path(), threads=0, most_threads=4)  # of two workers of a run: another run's are here, too
    assert threads_of(half, small_study.engine) == 2
    roster.leave(small_study.engine, members[0].id)
    roster.leave(small_study.engine, members[1].id)
    assert threads_of(half, small_study.engine) == 4  # the second is about to join
    members[1] = join(small_study.engine, small_study.id, "cpu")
    assert roster.threads(small_study.engine) == 4
    monkeypatch.setattr(hosts, "_cgroup_cores", lambda: 1.5)  # a container's own limit
    assert roster.threads(small_study.engine) == 1


def test_workers_of_one_container_share_its_limit(small_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(hosts, "_cgroup_cores", lambda: 4.0)
    for _ in range(2):
        join(small_study.engine, small_study.id, "cpu")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(roster, "process_name", lambda: "another-container:1")
        join(small_study.engine, small_study.id, "cpu")
    assert roster.threads(small_study.engine) == 2
    for _ in range(2):
        join(small_study.engine, small_study.id, "cpu")
    assert roster.threads(small_study.engine) == 1


def test_a_worker_that_joins_again_since_an_answer_was_lost_counts_once(two_gpus: None, small_study: Study) -> None:
    members = [roster.join(small_study.engine, small_study.id, "cuda", "the same") for _ in range(3)]
    assert {member.gpu for member in members} == {UUIDS[0]}
    assert join(small_study.engine, small_study.id, "cuda").gpu == UUIDS[1]
    with small_study.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(WORKER)).scalar_one() == 2


def test_a_trial_may_count_on_the_whole_device_whoever_shares_it(two_gpus: None) -> None:
    old, new = (device_limits(uuid) for uuid in UUIDS)
    assert old == {"memory_bytes": int(0.9 * Memory.total), "gpu_bf16": False}
    assert new == {"memory_bytes": int(0.9 * Memory.total), "gpu_bf16": True}
    assert 0 < device_limits("")["memory_bytes"] <= psutil.virtual_memory().total
