"""Whether a GPU can be used: a driver may list what no program can start on, and one that has
worked may be broken now.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from objectives.errors import WorldError, first_line
from objectives.lifeline import end_with_parent
from search.machine.driver import BF16_SINCE, Gpu
from search.process.asking import asked
from search.process.on_gpu import use_gpu

if TYPE_CHECKING:
    import torch

LONGEST_S = 120.0  # for the first call of a cold driver
# what torch and its libraries say where a context, a handle or a tensor finds no memory; the second
# also of a broken device
FULL = re.compile("out of memory")
# of a device in exclusive mode: another program has it to itself, or a server of MPS
BUSY = re.compile("busy or unavailable")
MAYBE_FULL = re.compile("CUBLAS_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)")
FULL_BYTES = 2**29  # with less than this free, a library that does not start is short of memory
# of the matrices that are multiplied: whole numbers so small that every arithmetic has them exactly
SIDE = 256
LARGEST = 4


@dataclass(frozen=True)
class Facts:
    """What CUDA says of a device on which it has started."""

    memory_bytes: int
    bf16: bool


def check_cuda(gpu: Gpu) -> Gpu:
    """Return the GPU when CUDA starts on it, completed where its driver did not say what it has.
    Needs ``process.preload``.

    It takes no memory, so that a full GPU, or one that another has to itself, passes; so does the
    CPU.

    Raises:
        WorldError: It does not start, or nobody knows its memory.
    """
    if not gpu.uuid:
        return gpu
    match _asked(_start, gpu.uuid):
        case Facts() as facts if gpu.memory_bytes or facts.memory_bytes:
            return (
                gpu
                if gpu.memory_bytes
                else replace(gpu, memory_bytes=facts.memory_bytes, bf16=facts.bf16)
            )
        case Facts():
            raise WorldError(
                f"neither the driver nor CUDA says how much memory {gpu.uuid} has; use --device cpu"
            )
        case why:
            raise WorldError(
                f"CUDA does not start on {gpu.uuid}: {why}; use --device cpu, or see `search "
                f"doctor`"
            )


def device_fault(gpu: str) -> str:
    """Return why the GPU of this uuid cannot compute, empty when it can. Needs ``process.preload``.

    It allocates a little, multiplies, waits for the result and compares it with the CPU's. A GPU
    that is sound and full of other programs' data passes, since nothing is known against it; so
    does the CPU, whose uuid is empty. It shares no context with others: under MPS a fault of theirs
    would be taken for the GPU's.
    """
    return str(_asked(_multiply, gpu)) if gpu else ""


def _asked(target: Callable[[Connection, str], None], gpu: str) -> Facts | str:
    """Return what a process of its own finds, or in words what is wrong."""
    try:
        answer: Facts | str = asked(target, gpu, name="cuda", longest_s=LONGEST_S)
        return answer
    except TimeoutError as error:
        return str(error)
    except OSError:
        return "the process that tried it has died"


def _start(pipe: Connection, gpu: str) -> None:
    """Start CUDA and say what it has, or why it does not start."""
    end_with_parent()
    use_gpu(gpu, alone=True)
    import torch

    try:
        properties = torch.cuda.get_device_properties(
            torch.cuda.current_device()
        )  # takes no memory
        pipe.send(Facts(properties.total_memory, properties.major >= BF16_SINCE))
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        pipe.send(first_line(error))


def _multiply(pipe: Connection, gpu: str) -> None:
    """Compute on the device, and say what is wrong with it."""
    end_with_parent()
    use_gpu(gpu, alone=True)
    import torch

    try:
        pipe.send("" if multiplies(torch.device("cuda")) else "it multiplies matrices wrongly")
    except (RuntimeError, AssertionError) as error:
        taken = is_taken(error, lambda: torch.cuda.mem_get_info()[0])
        pipe.send("" if taken else first_line(error))


def multiplies(device: "torch.device") -> bool:
    """Return whether the device multiplies two matrices as the CPU does, to the last bit."""
    import torch

    numbers = torch.Generator().manual_seed(0)
    left, right = (
        torch.randint(-LARGEST, LARGEST + 1, (SIDE, SIDE), generator=numbers).float()
        for _ in range(2)
    )
    on_device = left.to(device) @ right.to(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return torch.equal(on_device.cpu(), left @ right)


def is_taken(error: Exception, free_bytes: Callable[[], int]) -> bool:
    """Return whether an error of a device says that others have it, or all its memory, which is no
    fault of its own.
    """
    if FULL.search(str(error)) or BUSY.search(str(error)):
        return True
    try:
        return bool(MAYBE_FULL.search(str(error))) and free_bytes() < FULL_BYTES
    except RuntimeError:  # it cannot even tell
        return False
