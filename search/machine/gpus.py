"""The GPUs that this process may use: what the driver lists, within ``CUDA_VISIBLE_DEVICES``, or
why there is none.
"""

import os
from dataclasses import dataclass

from objectives.errors import UserError, WorldError, listed, one_line
from search.machine.driver import Card, Driver, Gpu, Lost, read_driver

VARIABLE = "CUDA_VISIBLE_DEVICES"
NO_DEVICES = "NoDevFiles"  # Slurm's word for a job without a GPU
OTHERWISE = "use --device cpu to train without, or see `search doctor`"


@dataclass(frozen=True)
class Offer:
    """The GPUs among which a worker may choose, none for the CPU, and what a person should know of
    the choice.
    """

    gpus: tuple[Gpu, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Visible:
    """What ``CUDA_VISIBLE_DEVICES`` leaves, in its order; ``stop`` is the entry at which CUDA reads
    no further.
    """

    places: tuple[Gpu | Lost, ...]
    stop: str | None = None

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """Those that can be used."""
        return tuple(place for place in self.places if isinstance(place, Gpu))


def list_gpus() -> list[Gpu]:
    """Return the GPUs that this process may use, in the driver's order, which is that of PCI;
    raises as `offer` does.
    """
    return list(offer("auto").gpus)


def offer(device: str) -> Offer:
    """Return the GPUs that ``device`` (``auto``, ``cpu``, ``cuda`` or ``cuda:N``) means here.

    ``auto`` is the CPU only where no GPU is expected: without a driver's cards, or where all were
    hidden on purpose.

    Raises:
        UserError: There is no such GPU, or ``CUDA_VISIBLE_DEVICES`` names none of those here.
        WorldError: The driver or all its cards do not answer.
    """
    setting = os.environ.get(VARIABLE)
    if device == "cpu" or (device == "auto" and hides_all(setting)):
        return Offer()
    driver = read_driver()
    seen = visible(driver.cards, setting)
    if not seen.gpus:
        return _without(driver, seen, device, setting)
    gpus = (_numbered(seen, device),) if ":" in device else seen.gpus
    return Offer(gpus, (*_lost(driver), *_doubts(driver, seen, setting)))


def hides_all(setting: str | None) -> bool:
    """Return whether ``CUDA_VISIBLE_DEVICES`` hides every GPU on purpose: it is empty, -1, or
    Slurm's word for none.
    """
    if setting is None:
        return False
    first = setting.partition(",")[0].strip()
    return not setting.strip() or first == NO_DEVICES or (first[:1] == "-" and first[1:].isdigit())


def visible(cards: tuple[Card, ...], setting: str | None) -> Visible:
    """Read ``CUDA_VISIBLE_DEVICES`` as CUDA does: up to the first entry that names no card; nothing
    when one is named twice.

    An entry is a number in PCI order, a uuid, or a beginning that is of one card only. A card under
    MIG stands for its slices.
    """
    if setting is None:
        return Visible(tuple(place for card in cards for place in card.places))
    places: list[Gpu | Lost] = []
    for entry in (part.strip() for part in setting.split(",")):
        named = _named(entry, cards)
        if any(place in places for place in named):
            return Visible((), entry)
        if not named:
            return Visible(tuple(places), entry)
        places += named
    return Visible(tuple(places))


def _named(entry: str, cards: tuple[Card, ...]) -> tuple[Gpu | Lost, ...]:
    """Return what an entry names, nothing where it names no card or more than one."""
    if entry.isdecimal():
        return cards[int(entry)].places if int(entry) < len(cards) else ()
    gpus = [place for card in cards if card.mig for place in card.places if isinstance(place, Gpu)]
    names = [(card.uuid, card.places) for card in cards] + [(gpu.uuid, (gpu,)) for gpu in gpus]
    names += [(gpu.old_uuid, (gpu,)) for gpu in gpus if gpu.old_uuid != gpu.uuid]
    exact = {places for name, places in names if entry and name == entry}
    begun = exact or {places for name, places in names if entry and name.startswith(entry)}
    return begun.pop() if len(begun) == 1 else ()


def _numbered(seen: Visible, device: str) -> Gpu:
    """Return the GPU of ``cuda:N``; a lost card keeps its number, so that no worker takes another's
    for it.
    """
    number = int(device.partition(":")[2])
    count = len(seen.places)
    if number >= count:
        raise UserError(
            f"--device must be auto, cpu, cuda or cuda:0 to cuda:{count - 1} here, got {device!r}"
        )
    place = seen.places[number]
    if isinstance(place, Lost):
        raise WorldError(f"--device {device}: {place}; use another")
    return place


def _without(driver: Driver, seen: Visible, device: str, setting: str | None) -> Offer:
    """Return the CPU for want of a GPU, where that is no surprise."""
    if hides_all(setting):
        raise UserError(
            f"--device {device}: no GPU here, since {VARIABLE}={setting!r} hides all; or use "
            f"--device cpu"
        )
    if driver.problem:
        raise WorldError(
            f"--device {device}: the GPU driver does not answer ({driver.problem}); {OTHERWISE}"
        )
    lost = "; ".join(_lost(driver))
    if setting is not None and not seen.places:
        raise (WorldError if lost else UserError)(
            f"--device {device}: {VARIABLE}={one_line(setting)!r} names no GPU here (at "
            f"{one_line(seen.stop or '')!r}); "
            f"the driver lists {_inventory(driver)}{lost and '; '}{lost}; correct or unset it, or "
            f"use --device cpu"
        )
    if lost:
        raise WorldError(f"--device {device}: {lost}; {OTHERWISE}")
    if device == "auto":
        return Offer(
            remarks=("the GPU driver is installed and lists no GPU: trials train on the CPU",)
            * driver.installed
        )
    raise UserError(
        f"--device {device}: the driver lists no GPU here; use --device cpu, or see `search doctor`"
    )


def _inventory(driver: Driver) -> str:
    """Return what the driver lists, for people."""
    gpus = [place for card in driver.cards for place in card.places if isinstance(place, Gpu)]
    return listed(gpu.uuid for gpu in gpus) or "none"


def _lost(driver: Driver) -> tuple[str, ...]:
    return tuple(
        str(place) for card in driver.cards for place in card.places if isinstance(place, Lost)
    )


def _doubts(driver: Driver, seen: Visible, setting: str | None) -> tuple[str, ...]:
    """Return where ``CUDA_VISIBLE_DEVICES`` may mean something else to who wrote it."""
    doubts = []
    if seen.stop is not None:
        doubts.append(
            f"{VARIABLE}={one_line(setting or '')!r} is read up to {one_line(seen.stop)!r}, which "
            f"names no GPU here"
        )
    names = {place.name for card in driver.cards for place in card.places if isinstance(place, Gpu)}
    by_number = any(part.strip().isdecimal() for part in (setting or "").split(","))
    if by_number and len(names) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        means = listed(f"{gpu.name} ({gpu.uuid})" for gpu in seen.gpus)
        doubts.append(f"{VARIABLE}={setting} counts by PCI order here, not fastest first: {means}")
    return tuple(doubts)
