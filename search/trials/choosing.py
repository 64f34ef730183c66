"""Which device a new worker takes, and which slot of it, under the lock of the roster."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from objectives.errors import WorldError
from search.database.predicates import ALIVE_WORKER
from search.database.tables import WORKER
from search.machine import gpu_locks
from search.machine.driver import CPU, Gpu
from search.machine.gpus import Offer
from search.machine.slots import UNDIVIDED, Division, Fitting, Slot, slots_of

GIB = 2**30
ALIVE = text(ALIVE_WORKER)


class DividedError(WorldError):
    """The workers of a GPU have divided it in another way than this one is told to."""


class NoSlotError(WorldError):
    """Every slot of every GPU is taken; one is free when its worker has left, or was not heard of for
    a minute.
    """


@dataclass(frozen=True)
class Choice:
    """A device, a slot of it, and what a person should know of the choice."""

    device: Gpu
    slot: Slot
    remarks: tuple[str, ...]


def choose(connection: Connection, offered: Offer, wanted: Division, name: str) -> Choice:
    """Choose the GPU with the fewest workers, of these the one whose memory is taken least, and
    hold it for the worker of this name. The caller holds the roster's lock.

    Raises:
        DividedError: Each of these GPUs is divided by its workers already, and in another way.
        NoSlotError: All their slots are taken.
    """
    if not offered.gpus:
        return Choice(CPU, UNDIVIDED, offered.remarks)
    ours = _slots_by_device(connection)
    divided = _divided(offered.gpus, ours, wanted)
    with gpu_locks.gate():
        on_host = {gpu.uuid: gpu_locks.workers_on(gpu.uuid) for gpu in divided}
        load = {uuid: max(len(ours.get(uuid, ())), count) for uuid, count in on_host.items()}
        free = [gpu for gpu, slots in divided.items() if not slots or load[gpu.uuid] < slots]
        if not free:
            raise NoSlotError(_all_taken(divided))
        chosen = min(free, key=lambda gpu: (load[gpu.uuid], gpu.used_bytes // GIB))
        gpu_locks.hold(chosen.uuid, name)
    there = ours.get(chosen.uuid, ())
    return Choice(
        chosen,
        _free_slot(there, divided[chosen]),
        offered.remarks + _shared(chosen, on_host[chosen.uuid] - len(there)),
    )


def _slots_by_device(connection: Connection) -> dict[str, list[Slot]]:
    """Return what live workers have of each device, in the order in which they joined."""
    rows = select(WORKER.c.device, WORKER.c.slot, WORKER.c.slots).where(ALIVE)
    found: dict[str, list[Slot]] = {}
    for device, number, of in connection.execute(rows.order_by(WORKER.c.started_at)):
        found.setdefault(device, []).append(Slot(number, of))
    return found


def _divided(
    gpus: tuple[Gpu, ...], ours: dict[str, list[Slot]], wanted: Division
) -> dict[Gpu, int]:
    """Return into how many slots each GPU is divided, by the first of its workers where it has some;
    those that are divided in another way than is wanted are left out.

    Raises:
        DividedError: None is left.
    """
    divided = {}
    for gpu in gpus:
        there = ours.get(gpu.uuid)
        slots = slots_of(gpu, wanted)
        if there and isinstance(wanted, Fitting) and there[0].of:
            slots = there[0].of
        if not there or there[0].of == slots:
            divided[gpu] = slots
    if not divided:
        gpu = gpus[0]
        raise DividedError(_otherwise(gpu, ours[gpu.uuid][0].of, slots_of(gpu, wanted)))
    return divided


def _otherwise(gpu: Gpu, there: int, here: int) -> str:
    """Return that a GPU is divided in another way than is wanted here."""
    are = f"divided it into {there} slot(s)" if there else "not divided it"
    told = f"--per-gpu {here}" if here else "no --per-gpu"
    same = f"give it --per-gpu {there}" if there else "start it without --per-gpu"
    return (
        f"the workers of {gpu.name} ({gpu.uuid}) have {are}, this one is told {told}: {same}, or "
        f"let them end first"
    )


def _all_taken(divided: dict[Gpu, int]) -> str:
    return f"all {sum(divided.values())} slots of {len(divided)} GPU(s) are taken by other workers"


def _free_slot(there: Sequence[Slot], slots: int) -> Slot:
    """Return the first slot that nobody has."""
    taken = {slot.number for slot in there}
    free = (number for number in range(1, slots + 1) if number not in taken)
    return Slot(next(free), slots) if slots else UNDIVIDED


def _shared(gpu: Gpu, strangers: int) -> tuple[str, ...]:
    """Return that a GPU is shared with workers of another database, where it is."""
    if strangers <= 0:
        return ()
    return (
        f"{gpu.name} ({gpu.uuid}) is shared with {strangers} worker(s) of another database on this "
        f"host",
    )
