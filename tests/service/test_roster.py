"""Who takes which GPU, and how many CPU threads: the driver is a stand-in, the database is real."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import psutil
import pynvml
import pytest
from sqlalchemy import Engine, func, select, update

from objectives.device.shortage import share_of
from objectives.errors import UserError, WorldError
from objectives.training.augment_on import AugmentOn
from search.database.connections import open_engine
from search.database.tables import WORKER
from search.machine import driver, gpu_locks, hosts
from search.machine.driver import CPU
from search.machine.gpus import list_gpus
from search.machine.slots import UNDIVIDED
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.trials import roster
from search.worker.context import BY_DEVICE, Orders, WorkerSettings
from search.worker.loop import run_worker, threads_of
from search.worker.running import augment_on, device_limits, prefetchers
from tests.support.stand_in_driver import ABSENT, LOST, MIG, TWO, StandInDriver, use_driver

UUIDS = [chip.uuid for chip in TWO]
GIB = 2**30


def join(engine: Engine, study_id: int, device: str) -> roster.RosterEntry:
    return roster.join(engine, study_id, device, uuid.uuid4().hex)


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    yield
    for worker in list(gpu_locks._held):
        gpu_locks.release(worker)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    use_driver(monkeypatch, tmp_path_factory.mktemp("locks"), *TWO)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_driver(monkeypatch, tmp_path, init=ABSENT)


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


def test_a_gpu_is_free_again_when_its_worker_left_or_fell_silent(
    two_gpus: None, small_study: Study
) -> None:
    first, second = (join(small_study.engine, small_study.id, "cuda") for _ in range(2))
    roster.leave(small_study.engine, second.id)
    third = join(small_study.engine, small_study.id, "cuda")
    assert [first.gpu, second.gpu, third.gpu] == [*UUIDS, UUIDS[1]]
    with small_study.engine.begin() as connection:
        connection.execute(
            update(WORKER)
            .where(WORKER.c.id == first.id)
            .values(seen_at=datetime(2000, 1, 1, tzinfo=UTC))
        )
    assert join(small_study.engine, small_study.id, "cuda").gpu == UUIDS[0]


def test_a_numbered_gpu_is_taken_however_loaded(two_gpus: None, small_study: Study) -> None:
    assert [join(small_study.engine, small_study.id, "cuda:1").gpu for _ in range(2)] == [
        UUIDS[1]
    ] * 2
    with pytest.raises(UserError, match=r"cuda:0 to cuda:1 here, got 'cuda:2'"):
        join(small_study.engine, small_study.id, "cuda:2")


def test_without_a_driver_auto_is_the_cpu_and_cuda_is_refused(
    no_gpu: None, small_study: Study
) -> None:
    assert join(small_study.engine, small_study.id, "auto").gpu == ""
    with pytest.raises(UserError, match="no GPU here"):
        join(small_study.engine, small_study.id, "cuda")


def test_a_gpu_that_the_driver_lists_and_cuda_cannot_use_takes_no_trial(
    two_gpus: None, database: str, make_study: Callable[..., None], tmp_path: Path
) -> None:
    make_study(database, trials=1)
    study = open_study(database, "small")
    settings = WorkerSettings(str(tmp_path / "artifacts"), tmp_path / "cache", device="auto")
    with pytest.raises(WorldError, match=r"CUDA does not start on GPU-.+: .+; use --device cpu"):
        run_worker(study, settings, Orders(), print)
    assert [worker["alive"] for worker in read_status(study).workers] == [False]
    assert [trial.state.name for trial in study.optuna.get_trials()] == ["WAITING"]
    study.close()


def test_live_workers_of_a_host_share_its_cores(
    small_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(hosts, "_cgroup_cores", lambda: float("inf"))
    members = [join(small_study.engine, small_study.id, "cpu") for _ in range(3)]
    assert roster.threads(small_study.engine) == 2
    # of two workers of a run: another run's are here, too
    half = WorkerSettings("", Path(), threads=0, most_threads=4)
    assert threads_of(half, small_study.engine) == 2
    roster.leave(small_study.engine, members[0].id)
    roster.leave(small_study.engine, members[1].id)
    assert threads_of(half, small_study.engine) == 4  # the second is about to join
    members[1] = join(small_study.engine, small_study.id, "cpu")
    assert roster.threads(small_study.engine) == 4
    monkeypatch.setattr(hosts, "_cgroup_cores", lambda: 1.5)  # a container's own limit
    assert roster.threads(small_study.engine) == 1


def test_workers_of_one_container_share_its_limit(
    small_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_worker_that_joins_again_since_an_answer_was_lost_counts_once(
    two_gpus: None, small_study: Study
) -> None:
    members = [
        roster.join(small_study.engine, small_study.id, "cuda", "the same") for _ in range(3)
    ]
    assert {member.gpu for member in members} == {UUIDS[0]}
    assert join(small_study.engine, small_study.id, "cuda").gpu == UUIDS[1]
    with small_study.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(WORKER)).scalar_one() == 2


def test_a_trial_may_count_on_the_whole_device_whoever_shares_it(two_gpus: None) -> None:
    old, new = (device_limits(gpu, UNDIVIDED) for gpu in list_gpus())
    whole = {"memory_bytes": share_of(8 * GIB), "limited": False}
    assert old == whole | {"gpu_bf16": False}
    assert new == whole | {"gpu_bf16": True}
    assert 0 < device_limits(CPU, UNDIVIDED)["memory_bytes"] <= psutil.virtual_memory().total


def test_a_worker_knows_its_device_from_joining_on_and_lists_no_card_again(
    two_gpus: None, small_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = join(small_study.engine, small_study.id, "cuda:1")
    monkeypatch.setattr(
        driver, "pynvml", StandInDriver(LOST, replace(TWO[1], error=pynvml.NVML_ERROR_GPU_IS_LOST))
    )
    assert device_limits(member.device, member.slot)["memory_bytes"] == share_of(8 * GIB)


def test_a_lost_card_ends_no_worker_of_the_others_and_is_named(
    small_study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_driver(monkeypatch, tmp_path, LOST, TWO[1])
    members = [
        join(small_study.engine, small_study.id, device) for device in ("auto", "cuda", "cuda:1")
    ]
    assert {member.gpu for member in members} == {UUIDS[1]}  # cuda:1 is no other than before
    assert [member.remarks for member in members] == [("GPU 0 cannot be used (GPU is lost)",)] * 3
    with pytest.raises(WorldError, match=r"--device cuda:0: GPU 0 cannot be used \(GPU is lost\)"):
        join(small_study.engine, small_study.id, "cuda:0")


def test_each_worker_of_a_card_under_mig_claims_a_slice_with_the_memory_of_that_slice(
    small_study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_driver(monkeypatch, tmp_path, MIG)
    members = [join(small_study.engine, small_study.id, "auto") for _ in range(3)]
    assert [member.gpu for member in members] == ["MIG-1111", "MIG-1222", "MIG-1111"]
    assert {device_limits(member.device, member.slot)["memory_bytes"] for member in members} == {
        share_of(10 * GIB)
    }


def test_workers_of_two_databases_on_one_host_take_a_gpu_each(
    two_gpus: None, make_database: Callable[[], str], make_study: Callable[..., None]
) -> None:
    """Each database knows its own workers alone: only the host knows both."""
    studies = []
    for database in (make_database(), make_database()):
        make_study(database, trials=1)
        studies.append(open_study(database, "small"))
    start = threading.Barrier(2)

    def take(study: Study) -> roster.RosterEntry:
        start.wait()
        return join(study.engine, study.id, "auto")

    with ThreadPoolExecutor(2) as pool:
        members = list(pool.map(take, studies))
    assert {member.gpu for member in members} == set(UUIDS)
    assert [member.remarks for member in members] == [(), ()]
    first, second = sorted(zip(members, studies, strict=True), key=lambda pair: pair[0].gpu)
    shared = join(second[1].engine, second[1].id, "auto")  # no card is free any more
    assert shared.gpu == first[0].gpu
    assert [
        f"({shared.gpu}) is shared with 1 worker(s) of another database" in said
        for said in shared.remarks
    ] == [True]
    for study in studies:
        study.close()


def test_between_cards_without_workers_the_one_whose_memory_is_free_is_taken(
    small_study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers in containers that share no folder, and other programs, are seen by what they use
    alone.
    """
    use_driver(monkeypatch, tmp_path, replace(TWO[0], used=3 * GIB), TWO[1])
    assert join(small_study.engine, small_study.id, "auto").gpu == UUIDS[1]
    # the fewest workers still come first
    assert join(small_study.engine, small_study.id, "auto").gpu == UUIDS[0]


@pytest.mark.parametrize(
    ("told", "on_gpu", "cores", "expected"),
    [
        (BY_DEVICE, True, 16, 15),
        (BY_DEVICE, True, 1, 1),
        (BY_DEVICE, False, 16, 0),
        (0, True, 16, 0),
        (3, False, 2, 3),
    ],
)
def test_prefetchers_follow_the_share_of_cores_on_a_gpu(
    told: int, on_gpu: bool, cores: int, expected: int
) -> None:
    assert prefetchers(told, on_gpu=on_gpu, cores=cores) == expected


@pytest.mark.parametrize("asked", get_args(AugmentOn))
def test_a_trial_that_goes_on_is_augmented_where_it_began(asked: AugmentOn) -> None:
    assert augment_on(asked, "", begun=False) == asked
    assert augment_on(asked, "device", begun=False) == asked  # it starts anew
    assert augment_on(asked, "device", begun=True) == "device"
    assert augment_on(asked, "host", begun=True) == augment_on(asked, "", begun=True) == "host"
