"""What the NVIDIA driver says of its cards, read through NVML without opening CUDA. No other module
calls the driver.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pynvml

from objectives.errors import first_line

BF16_SINCE = 8  # compute capability, Ampere
MIB = 2**20
# A container that holds one slice may not ask for its card's memory; chips that share the host's
# memory have none to tell
WITHHELD = (
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
)
# of a slice by its number: there is none, or this process may not see it
NO_SLICE = (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT, *WITHHELD)
# of a host with the packages alone
NO_CARD = (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_GPU_NOT_FOUND)
EXCLUSIVE = (pynvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD, pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS)
COMPUTE_MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: "default",
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD: "exclusive: one process at a time",
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive: one process at a time",
    pynvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited: no process may use it",
}


@dataclass(frozen=True)
class Gpu:
    """What one worker claims: a card, or a slice of one under MIG, by the uuid that
    ``CUDA_VISIBLE_DEVICES`` accepts.
    """

    uuid: str  # empty: the CPU
    name: str
    memory_bytes: int  # 0 where the driver does not say what the device has: CUDA is asked then
    bf16: bool  # whether it computes bfloat16 natively
    used_bytes: int = 0  # when it was listed
    exclusive: bool = False  # one process at a time, or one server of MPS, may compute on it
    # of a slice, as drivers before r470 name it: MIG-GPU-<card>/<GPU instance>/<compute instance>
    old_uuid: str = ""


CPU = Gpu(uuid="", name="CPU", memory_bytes=0, bf16=False)


@dataclass(frozen=True)
class Lost:
    """A card that is there and cannot be used."""

    number: int
    why: str

    def __str__(self) -> str:
        return f"GPU {self.number} cannot be used ({self.why})"


@dataclass(frozen=True)
class Card:
    """One card, by its number in PCI order among those given to this process: itself, its slices,
    or why it cannot be used.
    """

    number: int
    uuid: str  # empty where it is lost
    places: tuple[Gpu | Lost, ...]
    mig: bool = False
    compute_mode: str = ""  # empty where the driver does not say
    persistence: str = ""


@dataclass(frozen=True)
class Driver:
    """The driver of this host, or of this container."""

    installed: bool
    version: str = ""
    cards: tuple[Card, ...] = ()
    problem: str = ""  # why it does not answer, though it is there


def read_driver() -> Driver:
    """Read what the driver lists; a card that does not answer hides no other."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return Driver(installed=False)
        if error.value in NO_CARD:
            return Driver(installed=True)
        return Driver(installed=True, problem=first_line(error))
    try:
        version = str(_unless_withheld(pynvml.nvmlSystemGetDriverVersion, ""))
        return Driver(True, version, tuple(_read_cards()))
    except pynvml.NVMLError as error:
        return Driver(installed=True, problem=first_line(error))
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _read_cards() -> Iterator[Card]:
    """Read the cards that were given to this process: NVML counts the host's, CUDA only these."""
    number = 0
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError as error:
            # of a card that its control group, Slurm's say, shuts out
            if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
                continue
            yield _lost(number, error)
        else:
            yield _read_card(handle, number)
        number += 1


def _lost(number: int, error: Exception) -> Card:
    return Card(number, "", (Lost(number, first_line(error)),))


def _read_card(handle: object, number: int) -> Card:
    try:
        uuid = str(pynvml.nvmlDeviceGetUUID(handle))
        mig = _has_slices(handle)
        places = _read_slices(handle, number, uuid) if mig else (_read_gpu(handle, handle),)
        mode = _unless_withheld(lambda: pynvml.nvmlDeviceGetComputeMode(handle), None)
        persistent = _unless_withheld(lambda: pynvml.nvmlDeviceGetPersistenceMode(handle), None)
    except pynvml.NVMLError as error:
        return _lost(number, error)
    persistence = {None: "", 0: "off"}.get(persistent, "on")
    return Card(number, uuid, places, mig, COMPUTE_MODES.get(mode, ""), persistence)


def _has_slices(handle: object) -> bool:
    current, _ = _unless_withheld(lambda: pynvml.nvmlDeviceGetMigMode(handle), (0, 0))
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _read_slices(card: object, number: int, card_uuid: str) -> tuple[Gpu | Lost, ...]:
    """Read the slices of a card that this process may see: in a container those that it
    was given.
    """
    slices = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        try:
            handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index)
        except pynvml.NVMLError as error:
            if error.value in NO_SLICE:
                continue
            raise
        instances = _unless_withheld(partial(_instances, handle), "")
        slices.append(
            _read_gpu(handle, card, old_uuid=f"MIG-{card_uuid}/{instances}" if instances else "")
        )
    return tuple(slices) or (
        Lost(
            number, "MIG is on and no slice is here: make one with nvidia-smi mig, or turn MIG off"
        ),
    )


def _instances(handle: object) -> str:
    return f"{pynvml.nvmlDeviceGetGpuInstanceId(handle)}/{pynvml.nvmlDeviceGetComputeInstanceId(handle)}"


def _read_gpu(handle: object, card: object, old_uuid: str = "") -> Gpu:
    """Read a card or a slice; what the slice computes is known of its card."""
    uuid = str(pynvml.nvmlDeviceGetUUID(handle))
    name = str(pynvml.nvmlDeviceGetName(handle))
    memory = _unless_withheld(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle), None)
    total = int(memory.total) if memory else 0
    if not total and old_uuid:
        total = MIB * int(
            _unless_withheld(lambda: pynvml.nvmlDeviceGetAttributes_v2(handle).memorySizeMB, 0)
        )
    capability = _unless_withheld(lambda: pynvml.nvmlDeviceGetCudaComputeCapability(card), None)
    known, bf16 = (total, capability[0] >= BF16_SINCE) if capability else (0, False)
    used = int(memory.used) if memory else 0
    mode = _unless_withheld(lambda: pynvml.nvmlDeviceGetComputeMode(card), None)
    return Gpu(uuid, name, known, bf16, used, mode in EXCLUSIVE, old_uuid)


def _unless_withheld(ask: Callable[[], Any], otherwise: Any) -> Any:
    """Return what the driver says, or something else where it has or tells no such thing; a fault
    of the card goes on up.
    """
    try:
        return ask()
    except pynvml.NVMLError as error:
        if error.value not in WITHHELD:
            raise
        return otherwise
