"""Slots of a GPU, claimed through the database: the driver is a stand-in, the database is real."""

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from objectives.config import Config
from objectives.data.dataset import open_dataset
from objectives.device.shortage import GIB, share_of
from objectives.errors import WorldError
from objectives.training.resources import estimate
from search.database.connections import open_engine
from search.database.tables import WORKER
from search.machine import gpu_locks
from search.machine.slots import NOT_AT_ALL, UNDIVIDED, Division, Fitting, Into, Slot
from search.process.on_gpu import PIPES
from search.process.parent import preload
from search.study.data_path import here
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.terminal.progress import print_status
from search.trials import roster
from search.trials.choosing import DividedError, NoSlotError
from search.trials.leases import Lease
from search.worker.context import BY_NEED, Orders, WorkerSettings
from search.worker.loop import run_worker
from search.worker.patience import Patience
from search.worker.running import device_limits, runs_alone
from search.worker.slots import FRAGMENTS, division, joined
from tests.support.stand_in_driver import MIG, TWO, use_driver

UUIDS = [chip.uuid for chip in TWO]


@pytest.fixture(autouse=True)
def _two_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    use_driver(monkeypatch, tmp_path_factory.mktemp("locks"), *TWO)
    yield
    for worker in list(gpu_locks._held):
        gpu_locks.release(worker)


def join(study: Study, wanted: Division, device: str = "auto") -> roster.RosterEntry:
    return roster.join(study.engine, study.id, device, uuid.uuid4().hex, wanted)


def places(members: list[roster.RosterEntry]) -> list[tuple[str, int, int]]:
    return sorted((member.gpu, member.slot.number, member.slot.of) for member in members)


def test_workers_that_start_at_once_take_a_slot_each_and_no_more_than_there_are(
    small_study: Study, database: str
) -> None:
    start = threading.Barrier(9)

    def take(_: int) -> roster.RosterEntry | NoSlotError:
        engine = open_engine(database)
        start.wait()
        try:
            return roster.join(engine, small_study.id, "auto", uuid.uuid4().hex, Into(4))
        except NoSlotError as error:
            return error
        finally:
            engine.dispose()

    with ThreadPoolExecutor(9) as pool:
        taken = list(pool.map(take, range(9)))
    members = [each for each in taken if isinstance(each, roster.RosterEntry)]
    (refused,) = [str(each) for each in taken if isinstance(each, NoSlotError)]
    assert places(members) == [(uuid_, number, 4) for uuid_ in UUIDS for number in (1, 2, 3, 4)]
    assert refused == "all 8 slots of 2 GPU(s) are taken by other workers"
    listed = [
        (each["device"], each["slot"], each["slots"]) for each in read_status(small_study).workers
    ]
    assert sorted(listed) == places(members), "who was refused is on no roster"


def test_status_says_who_has_which_slot_and_whether_mps_runs_by_now(
    small_study: Study,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def shared() -> list[str]:
        print_status(small_study)
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if line.startswith("GPU-")]

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv(PIPES, str(tmp_path))
    alone = join(small_study, NOT_AT_ALL, "cuda:1")
    assert shared() == []
    members = [join(small_study, Into(3), "cuda:0") for _ in range(2)]
    join(small_study, NOT_AT_ALL, "cpu")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as daemon:
        daemon.bind(str(tmp_path / "control"))
        daemon.listen()
        other = join(small_study, NOT_AT_ALL, "cuda:1")
        has = f"{UUIDS[0]}: 2 worker(s) have slots 1, 2 of 3; MPS"
        shares = f"{UUIDS[1]}: 2 worker(s) have all of it; MPS runs"
        assert shared() == [shares, f"{has} does not run"]
        with small_study.engine.begin() as connection:
            for member in members:
                roster.beat(connection, member)
        assert shared() == [shares, f"{has} runs"]
    for member in (alone, other):
        roster.leave(small_study.engine, member.id)
    assert shared() == [f"{has} runs"]


def test_a_slot_is_free_again_when_its_worker_left_or_fell_silent(small_study: Study) -> None:
    first, second, _ = (join(small_study, Into(3), "cuda:0") for _ in range(3))
    with pytest.raises(NoSlotError):
        join(small_study, Into(3), "cuda:0")
    roster.leave(small_study.engine, second.id)
    assert join(small_study, Into(3), "cuda:0").slot == second.slot == Slot(2, 3)
    gpu_locks.release(first.id)  # as the kernel does, of one that was killed
    with small_study.engine.begin() as connection:
        long_ago = datetime(2000, 1, 1, tzinfo=UTC)
        connection.execute(update(WORKER).where(WORKER.c.id == first.id).values(seen_at=long_ago))
    assert join(small_study, Into(3), "cuda:0").slot == Slot(1, 3)


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (Into(2), Into(4), r"divided it into 2 slot\(s\), this one is told --per-gpu 4: give it --per-gpu 2"),
        (Into(2), NOT_AT_ALL, r"divided it into 2 slot\(s\), this one is told no --per-gpu: give it"),
        (NOT_AT_ALL, Into(2), r"not divided it, this one is told --per-gpu 2: start it without"),
        (NOT_AT_ALL, Fitting(GIB, 4), r"not divided it, this one is told --per-gpu 4"),
    ],
)  # fmt: skip
def test_workers_of_a_gpu_must_divide_it_alike(
    there: Division, here: Division, said: str, small_study: Study
) -> None:
    first = join(small_study, there, "cuda:0")
    with pytest.raises(DividedError, match=rf"Stand-in \({UUIDS[0]}\) have {said}"):
        join(small_study, here, "cuda:0")
    assert join(small_study, here).gpu == UUIDS[1], "the other card is nobody's"
    roster.leave(small_study.engine, first.id)
    assert join(small_study, here, "cuda:0").gpu == UUIDS[0]


def test_who_fits_slots_to_trials_takes_those_that_are_there(small_study: Study) -> None:
    join(small_study, Into(5), "cuda:0")
    assert join(small_study, Fitting(GIB, 2), "cuda:0").slot == Slot(2, 5)
    assert join(small_study, Fitting(3 * GIB, 4), "cuda:1").slot == Slot(1, 2)


def test_a_worker_of_another_database_takes_a_slot_too(
    make_database: Callable[[], str], make_study: Callable[..., None]
) -> None:
    studies = []
    for database in (make_database(), make_database()):
        make_study(database, trials=1)
        studies.append(open_study(database, "small"))
    join(studies[0], Into(2), "cuda:0")
    second = join(studies[1], Into(2), "cuda:0")
    assert "is shared with 1 worker(s) of another database" in second.remarks[0]
    for study in studies:
        with pytest.raises(NoSlotError):
            join(study, Into(2), "cuda:0")
        study.close()


def test_slices_of_a_card_under_mig_are_divided_too(
    small_study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_driver(monkeypatch, tmp_path, MIG)
    members = [join(small_study, Into(2)) for _ in range(4)]
    assert places(members) == [(uuid_, k, 2) for uuid_ in ("MIG-1111", "MIG-1222") for k in (1, 2)]
    assert device_limits(members[0].device, members[0].slot)["memory_bytes"] == share_of(5 * GIB)


def test_without_a_gpu_nothing_is_divided(small_study: Study) -> None:
    member = join(small_study, Into(4), "cpu")
    assert (member.gpu, member.slot) == ("", UNDIVIDED)
    assert not device_limits(member.device, member.slot)["limited"]


def test_a_trial_may_take_the_share_of_its_slot_and_is_held_to_it(small_study: Study) -> None:
    member = join(small_study, Into(4))
    limits = device_limits(member.device, member.slot)
    assert limits["memory_bytes"] == share_of(8 * GIB, 4) == GIB
    assert limits["limited"]


def test_who_has_died_on_a_gpu_shares_no_context_any_more(small_study: Study) -> None:
    gpu = join(small_study, Into(2)).device
    fresh = Lease(1, "worker", 1, 1, 0, (), ())
    assert not runs_alone(fresh, gpu)
    for died in (replace(fresh, crashed_by=("worker",)), replace(fresh, hung_by=("worker",))):
        assert runs_alone(died, gpu)
        assert not runs_alone(died, replace(gpu, exclusive=True))


def settings(per_gpu: int, tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(str(tmp_path), tmp_path, device="cuda:0", per_gpu=per_gpu)


def test_a_worker_without_a_slot_stands_by_until_one_is_free_or_all_is_over(
    small_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.worker.slots.LOOKS_S", (0.05, 0.05))
    holder = join(small_study, Into(1), "cuda:0")
    said: list[str] = []
    asks = settings(1, tmp_path), uuid.uuid4().hex, Into(1)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(joined, small_study, *asks, Patience(threading.Event(), said.append))
        with pytest.raises(TimeoutError):
            waits.result(1.0)
        roster.leave(small_study.engine, holder.id)
        member = waits.result(10.0)
    assert member
    assert member.slot == Slot(1, 1)
    assert said == ["all 1 slots of 1 GPU(s) are taken by other workers: waits for one"]
    stopped = threading.Event()
    stopped.set()
    assert (
        joined(small_study, settings(1, tmp_path), "b", Into(1), Patience(stopped, said.append))
        is None
    )
    with small_study.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE search_study SET state = 'stopped'")
    patient = Patience(threading.Event(), said.append)
    assert joined(small_study, settings(1, tmp_path), "c", Into(1), patient) is None


def config_of(study: Study, **model: float) -> Config:
    """The control with another network."""
    control = study.space.default()
    return control.model_copy(update={"model": control.model.model_copy(update=model)})


def test_auto_goes_by_the_largest_of_the_studys_configs(
    database: str, make_study: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preload()
    make_study(database, trials=4, sets=("model.base_filters={choice: [4, 8, 16]}",))
    study = open_study(database, "small")
    monkeypatch.setattr("search.worker.slots.cores", lambda: 6.0)
    data = open_dataset(here(study.spec.source, tmp_path), study.spec.frames, tmp_path)
    said: list[str] = []
    wanted = division(study, settings(BY_NEED, tmp_path), lambda: data, said.append)
    assert isinstance(wanted, Fitting)
    assert wanted.most == 6, "one GPU is offered, and a worker needs a core"
    plain, dropped = (
        estimate(config_of(study, base_filters=16, dropout=dropout), data.spec).memory_bytes
        for dropout in (0.0, 0.1)
    )
    control = estimate(study.space.default(), data.spec).memory_bytes
    assert control < plain < dropped, "a dropout keeps its mask"
    assert FRAGMENTS * plain <= wanted.need_bytes <= FRAGMENTS * dropped
    assert said == ["estimates what trials need of a GPU's memory, for --per-gpu auto"]
    study.close()


def test_a_worker_of_another_number_leaves_and_claims_nothing(
    database: str, make_study: Callable[..., None], tmp_path: Path
) -> None:
    make_study(database, trials=1)
    study = open_study(database, "small")
    join(study, Into(4), "cuda:0")
    asks = WorkerSettings(
        str(tmp_path / "artifacts"), tmp_path / "cache", device="cuda:0", per_gpu=2
    )
    with pytest.raises(DividedError, match=r"told --per-gpu 2: give it --per-gpu 4") as refused:
        run_worker(study, asks, Orders(), print)
    assert refused.value.exit_code == 1, "an engine may try again"
    assert [each["slots"] for each in read_status(study).workers] == [4]
    assert {trial.state.name for trial in study.optuna.get_trials()} == {"WAITING"}
    study.close()


def test_auto_says_when_it_cannot_tell(
    small_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise TimeoutError("no word in 600 s")

    monkeypatch.setattr("search.worker.slots.asked", fails)
    monkeypatch.setattr("search.worker.slots.cores", lambda: 6.0)
    with pytest.raises(WorldError, match=r"--per-gpu auto: .+: no word in 600 s; give a number"):
        division(
            small_study,
            settings(BY_NEED, tmp_path),
            lambda: SimpleNamespace(directory=tmp_path),
            print,
        )  # type: ignore[arg-type,return-value]  # only its folder is asked for
