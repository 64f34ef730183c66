"""A stand-in for the NVIDIA driver's library: cards of several kinds, and the errors that NVML
gives for them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from search.machine import driver, gpu_locks

GIB = 2**30
Handle = Any


@dataclass(frozen=True)
class Slice:
    """A slice of a card under MIG, as a driver since r470 names it."""

    uuid: str
    instances: tuple[int, int]
    memory: int | None = 10 * GIB  # None: NVML refuses it
    attributes: int | None = None  # MiB, where the slice's attributes can be read
    name: str = "Stand-in MIG 1g.10gb"


@dataclass(frozen=True)
class Chip:
    """A card; ``error`` is what NVML gives instead of a handle, ``withheld`` what it gives for the
    card's memory.
    """

    uuid: str
    name: str = "Stand-in"
    memory: int = 8 * GIB
    used: int = 0
    capability: tuple[int, int] = (8, 0)
    error: int = 0
    withheld: int = 0
    slices: tuple[Slice, ...] | None = None  # None: MIG is off
    compute_mode: int = pynvml.NVML_COMPUTEMODE_DEFAULT
    old: bool = False  # a chip that knows neither MIG nor persistence


class StandInDriver:
    """What ``search.machine.driver`` calls of NVML, over cards given; ``init`` is the error of the
    first call.
    """

    def __init__(self, *chips: Chip, init: int = 0) -> None:
        self.chips = chips
        self.init = init

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML"):  # its constants and errors, none of its functions
            return getattr(pynvml, name)
        raise AttributeError(name)

    def nvmlInit(self) -> None:
        fail(self.init)

    def nvmlShutdown(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.chips)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle:
        fail(self.chips[index].error)
        return self.chips[index]

    def nvmlDeviceGetUUID(self, handle: Handle) -> str:
        return str(handle.uuid)

    def nvmlDeviceGetName(self, handle: Handle) -> str:
        return str(handle.name)

    def nvmlDeviceGetMemoryInfo(self, handle: Handle) -> Any:
        if isinstance(handle, Slice):
            fail(pynvml.NVML_ERROR_NO_PERMISSION if handle.memory is None else 0)
            return SimpleNamespace(total=handle.memory, used=0)
        fail(handle.withheld)
        return SimpleNamespace(total=handle.memory, used=handle.used)

    def nvmlDeviceGetAttributes_v2(self, handle: Slice) -> Any:
        fail(pynvml.NVML_ERROR_NO_PERMISSION if handle.attributes is None else 0)
        return SimpleNamespace(memorySizeMB=handle.attributes)

    def nvmlDeviceGetCudaComputeCapability(self, handle: Handle) -> tuple[int, int]:
        if isinstance(handle, Slice):
            fail(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return tuple(handle.capability)

    def nvmlDeviceGetMigMode(self, handle: Chip) -> list[int]:
        fail(pynvml.NVML_ERROR_NOT_SUPPORTED if handle.old else 0)
        return [int(handle.slices is not None)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Chip) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Chip, index: int) -> Slice:
        slices = handle.slices or ()
        fail(0 if index < len(slices) else pynvml.NVML_ERROR_NOT_FOUND)
        return slices[index]

    def nvmlDeviceGetGpuInstanceId(self, handle: Slice) -> int:
        return handle.instances[0]

    def nvmlDeviceGetComputeInstanceId(self, handle: Slice) -> int:
        return handle.instances[1]

    def nvmlDeviceGetComputeMode(self, handle: Chip) -> int:
        return handle.compute_mode

    def nvmlDeviceGetPersistenceMode(self, handle: Chip) -> int:
        fail(pynvml.NVML_ERROR_NOT_SUPPORTED if handle.old else 0)
        return 1


def fail(code: int) -> None:
    """Raise NVML's error with this code, none for 0."""
    if code:
        raise pynvml.NVMLError(code)


TWO = (Chip("GPU-aaaa-0", capability=(7, 5)), Chip("GPU-bbbb-1"))
LOST = replace(TWO[0], error=pynvml.NVML_ERROR_GPU_IS_LOST)
SLICES = (Slice("MIG-1111", (1, 0)), Slice("MIG-1222", (2, 0)))
MIG = Chip("GPU-cccc-2", "Stand-in A", 80 * GIB, slices=SLICES)
# in a container that was given one slice NVML lists its card, and refuses to tell its memory
MIG_IN_CONTAINER = replace(MIG, slices=SLICES[1:], withheld=pynvml.NVML_ERROR_NO_PERMISSION)
MIXED = (Chip("GPU-dddd-0", "Stand-in small"), Chip("GPU-eeee-1", "Stand-in large", 80 * GIB))
ABSENT, NOT_LOADED = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED
MISMATCH = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH


def use_driver(patch: pytest.MonkeyPatch, locks: Path, *chips: Chip, init: int = 0) -> None:
    """Let this process see these cards, no setting of who runs the tests, and locks of its own."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        patch.delenv(name, raising=False)
    patch.setattr(driver, "pynvml", StandInDriver(*chips, init=init))
    locks.chmod(0o1777)
    patch.setattr(gpu_locks, "FOLDERS", (locks,))
