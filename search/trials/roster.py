"""The workers of a study: who they are, what device each has claimed, and who is alive."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update

from search.database.connections import locked
from search.database.host import host_id
from search.database.predicates import ALIVE_WORKER
from search.database.tables import WORKER
from search.machine import gpu_locks
from search.machine.driver import CPU, Gpu
from search.machine.gpus import offer
from search.machine.hosts import process_name, thread_share
from search.machine.mps import mps_runs
from search.machine.slots import NOT_AT_ALL, UNDIVIDED, Division, Slot
from search.program import program_version
from search.trials.choosing import choose

ROSTER_LOCK = 7_215_003
ALIVE = text(ALIVE_WORKER)


@dataclass(frozen=True)
class RosterEntry:
    """One worker, registered, with its device as it was on joining, and what a person should know
    of the choice.
    """

    id: str
    device: Gpu = CPU
    slot: Slot = UNDIVIDED
    remarks: tuple[str, ...] = ()

    @property
    def gpu(self) -> str:
        """The uuid of its GPU, empty on the CPU."""
        return self.device.uuid


def join(
    engine: Engine, study_id: int, device: str, name: str, wanted: Division = NOT_AT_ALL
) -> RosterEntry:
    """Register a worker. ``device``: ``auto`` (the least loaded GPU, else the CPU), ``cpu``,
    ``cuda`` or ``cuda:N``. It claims a slot of its GPU, where that is to be divided.

    Workers of all studies in the database are counted, and those of other databases that hold a
    lock on this host; one lock in each place keeps two from taking the same idle GPU. ``name`` is
    the worker's id, chosen by itself: it may be sent again, when an answer was lost.

    Raises:
        UserError: There is no such GPU.
        WorldError: The driver or all its cards do not answer.
        DividedError: Each of these GPUs is divided by its workers already, and in another way.
        NoSlotError: All their slots are taken.
    """
    # before the lock: a driver that no process holds awake takes seconds to answer
    offered = offer(device)
    gpu_locks.release(name)
    with locked(engine, ROSTER_LOCK) as connection:
        connection.execute(delete(WORKER).where(WORKER.c.id == name))
        choice = choose(connection, offered, wanted, name)
        member = RosterEntry(name, choice.device, choice.slot, choice.remarks)
        connection.execute(
            insert(WORKER).values(
                id=member.id,
                study_id=study_id,
                host=host_id(),
                name=process_name(),
                device=member.gpu or "cpu",
                slot=member.slot.number,
                slots=member.slot.of,
                mps=bool(member.gpu) and mps_runs(),
                program=program_version(),
            )
        )
    return member


def beat(connection: Connection, member: RosterEntry) -> None:
    """Say that a worker is alive."""
    connection.execute(
        update(WORKER)
        .where(WORKER.c.id == member.id)
        .values(seen_at=func.clock_timestamp(), mps=bool(member.gpu) and mps_runs())
    )


def leave(engine: Engine, name: str) -> None:
    """Say that a worker has ended, also one that does not know whether it has joined."""
    gpu_locks.release(name)
    with engine.begin() as connection:
        connection.execute(
            update(WORKER).where(WORKER.c.id == name).values(ended_at=func.clock_timestamp())
        )


def is_alone(engine: Engine, study_id: int, name: str) -> bool:
    """Return whether no other worker of the study is alive."""
    others = select(func.count()).where(
        (WORKER.c.study_id == study_id) & (WORKER.c.id != name), ALIVE
    )
    with engine.connect() as connection:
        return not connection.execute(others).scalar_one()


def threads(engine: Engine) -> int:
    """This worker's share of the cores: the host's, among its live workers, and its container's,
    among those in there.
    """
    inside = func.count().filter(
        func.split_part(WORKER.c.name, ":", 1) == process_name().partition(":")[0]
    )
    counts = select(func.count(), inside).where(WORKER.c.host == host_id(), ALIVE)
    with engine.connect() as connection:
        on_host, here = connection.execute(counts).one()
    return thread_share(on_host, here)
