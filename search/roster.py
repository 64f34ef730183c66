"""The workers of a study: who they are, what device each has claimed, and who is alive."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update

from objectives.errors import UserError
from search.gpus import Gpu, list_gpus
from search.hosts import host_id, process_name, thread_share
from search.storage import locked
from search.tables import WORKER

ROSTER_LOCK = 7_215_003
ALIVE = text("ended_at IS NULL AND seen_at > clock_timestamp() - interval '60 seconds'")


@dataclass(frozen=True)
class Member:
    """One worker, registered; ``gpu`` is its uuid, empty on a CPU."""

    id: str
    gpu: str


def join(engine: Engine, study_id: int, device: str, name: str) -> Member:
    """Register a worker. ``device``: ``auto`` (the least loaded GPU, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Workers of all studies in the database are counted, and one lock keeps two from taking the same idle GPU. ``name`` is the
    worker's id, chosen by itself: it may be told again, when an answer was lost.
    Raises: UserError when there is no such GPU.
    """
    with locked(engine, ROSTER_LOCK) as connection:
        connection.execute(delete(WORKER).where(WORKER.c.id == name))
        member = Member(name, _choose_gpu(connection, device))
        connection.execute(
            insert(WORKER).values(
                id=member.id, study_id=study_id, host=host_id(), name=process_name(), device=member.gpu or "cpu"
            )
        )
    return member


def beat(engine: Engine, member: Member) -> None:
    """Say that a worker is alive."""
    with engine.begin() as connection:
        connection.execute(update(WORKER).where(WORKER.c.id == member.id).values(seen_at=func.clock_timestamp()))


def leave(engine: Engine, name: str) -> None:
    """Say that a worker has ended, also one that does not know whether it has joined."""
    with engine.begin() as connection:
        connection.execute(update(WORKER).where(WORKER.c.id == name).values(ended_at=func.clock_timestamp()))


def is_alone(engine: Engine, study_id: int, name: str) -> bool:
    """Return whether no other worker of the study is alive."""
    others = select(func.count()).where((WORKER.c.study_id == study_id) & (WORKER.c.id != name), ALIVE)
    with engine.connect() as connection:
        return not connection.execute(others).scalar_one()


def threads(engine: Engine) -> int:
    """This worker's share of the cores: the host's, among its live workers, and its container's, among those in there."""
    inside = func.count().filter(func.split_part(WORKER.c.name, ":", 1) == process_name().partition(":")[0])
    counts = select(func.count(), inside).where(WORKER.c.host == host_id(), ALIVE)
    with engine.connect() as connection:
        on_host, here = connection.execute(counts).one()
    return thread_share(on_host, here)


def _choose_gpu(connection: Connection, device: str) -> str:
    if device == "cpu":
        return ""
    gpus = list_gpus()
    if not gpus:
        if device == "auto":
            return ""
        raise UserError(f"--device {device}: the driver lists no GPU here; use --device cpu, or see `search doctor`")
    if device in ("auto", "cuda"):
        return _least_loaded(connection, gpus).uuid
    number = device.removeprefix("cuda:")
    if not number.isdigit() or int(number) >= len(gpus):
        raise UserError(f"--device must be auto, cpu, cuda or cuda:0 to cuda:{len(gpus) - 1} here, got {device!r}")
    return gpus[int(number)].uuid


def _least_loaded(connection: Connection, gpus: list[Gpu]) -> Gpu:
    taken = select(WORKER.c.device, func.count()).where(ALIVE).group_by(WORKER.c.device)
    load = {row[0]: row[1] for row in connection.execute(taken)}
    return min(gpus, key=lambda gpu: load.get(gpu.uuid, 0))
