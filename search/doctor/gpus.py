"""What ``search doctor`` says of the GPUs: driver, cards, whether each computes, and the memory
that batches travel through.
"""

import shutil
from pathlib import Path

from objectives.errors import SearchError
from search.doctor.finding import Finding
from search.machine.cuda import check_cuda, device_fault
from search.machine.driver import Card, Driver, Gpu, Lost, read_driver
from search.machine.gpus import offer
from search.machine.mps import HOW, mps_runs, mps_words
from search.process.parent import preload

GIB = 2**30
SHARED_MEMORY = Path("/dev/shm")
# for batches that are prefetched for one worker's GPU, at the sizes in docs/compose.md
SHARED_NEED_BYTES = 2 * GIB


def examine_gpus(per_gpu: str = "") -> list[Finding]:
    """Look at the driver and compute on each GPU that this process may use; without one it starts
    no process. ``per_gpu`` is what workers are told of slots.
    """
    driver = read_driver()
    usable, offered = _offered()
    uuids = {gpu.uuid for gpu in usable}
    cards = [finding for card in driver.cards for finding in _examine_card(card, uuids)]
    slots = [_slots(per_gpu, usable)] if usable and per_gpu not in ("", "1") else []
    return [_driver(driver), offered, *cards, *slots, _shared_memory(needed=bool(usable))]


def _driver(driver: Driver) -> Finding:
    if not driver.installed:
        return Finding("gpu driver", True, "none")
    if driver.problem:
        return Finding("gpu driver", False, f"it does not answer: {driver.problem}")
    return Finding(
        "gpu driver", True, f"{driver.version or 'installed, not loaded'}; {mps_words()}"
    )


def _slots(per_gpu: str, usable: tuple[Gpu, ...]) -> Finding:
    """Say how trials that share a GPU go on beside each other."""
    told = f"--per-gpu {per_gpu}"
    if mps_runs():
        exclusive = any(gpu.exclusive for gpu in usable)
        kept = (
            "; in exclusive mode a trial that has died cannot be kept apart: see docs/gpus.md"
            if exclusive
            else ""
        )
        return Finding("slots", True, f"{told}, and MPS runs: trials compute side by side{kept}")
    if any(gpu.exclusive for gpu in usable):
        return Finding(
            "slots",
            False,
            f"{told}, but a GPU in exclusive mode takes one process: {HOW}, or set its compute mode to "
            f"default",
        )
    return Finding("slots", True, f"{told}: trials take turns, since MPS does not run; {HOW}")


def _offered() -> tuple[tuple[Gpu, ...], Finding]:
    """Return the GPUs that ``--device auto`` chooses among, and what is to be said of them."""
    try:
        offered = offer("auto")
    except SearchError as error:
        return (), Finding("gpus", False, str(error))
    none = "none: trials train on the CPU, which suits the presets small and tiny"
    have = (
        (f"{len(offered.gpus)} for --device auto", *offered.remarks)
        if offered.gpus
        else offered.remarks or (none,)
    )
    return offered.gpus, Finding("gpus", True, "; ".join(have))


def _examine_card(card: Card, usable: set[str]) -> list[Finding]:
    parts = [
        f"gpu {card.number}" + (f".{index}" if card.mig else "")
        for index in range(len(card.places))
    ]
    return [
        _examine(part, place, card, usable) for part, place in zip(parts, card.places, strict=True)
    ]


def _examine(what: str, place: Gpu | Lost, card: Card, usable: set[str]) -> Finding:
    if isinstance(place, Lost):
        return Finding(what, False, place.why)
    facts = [f"{place.name}, {place.uuid}", _memory(place), "MIG on" if card.mig else "MIG off"]
    facts += [f"compute mode {card.compute_mode}"] if card.compute_mode else []
    facts += [f"persistence {card.persistence}"] if card.persistence else []
    if place.uuid not in usable:
        return Finding(what, True, "; ".join([*facts, "hidden by CUDA_VISIBLE_DEVICES"]))
    fault = _fault(place)
    return Finding(what, not fault, "; ".join([*facts, fault or "computes"]))


def _memory(gpu: Gpu) -> str:
    if not gpu.memory_bytes:
        return "the driver does not say its memory"
    return (
        f"{(gpu.memory_bytes - gpu.used_bytes) / GIB:.1f} of {gpu.memory_bytes / GIB:.1f} GiB free"
    )


def _fault(gpu: Gpu) -> str:
    """Return what a worker would be refused for on this GPU, or would fail of; empty for none."""
    preload()
    if fault := device_fault(gpu.uuid):
        return fault
    try:
        check_cuda(gpu)
    except SearchError as error:
        return str(error)
    return ""


def _shared_memory(*, needed: bool) -> Finding:
    """Look at /dev/shm, of which a container has 64 MiB by default: a process that finds no room
    there dies of a bus error.
    """
    try:
        total = shutil.disk_usage(SHARED_MEMORY).total
    except OSError as error:
        return Finding(
            "shared memory", not needed, f"{SHARED_MEMORY} cannot be used: {error.strerror}"
        )
    size = f"{SHARED_MEMORY} has {total / GIB:.1f} GiB"
    if not needed:
        return Finding("shared memory", True, f"{size}; only GPUs need it")
    if total >= SHARED_NEED_BYTES:
        return Finding("shared memory", True, size)
    need = f"{SHARED_NEED_BYTES / GIB:g}"
    return Finding(
        "shared memory",
        False,
        f"{size}, a worker with a GPU needs {need} GiB: give the container --shm-size={need}g",
    )
