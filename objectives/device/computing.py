"""The processor that a device of this host is, and its threads."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

from objectives.device.processor import Processor


def processor_of(device: torch.device) -> Processor:
    """Return what computes on a device, with the threads of now."""
    if device.type == "cuda":
        return Processor("cuda", f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    return Processor("cpu", f"{_cpu()}, torch {torch.__version__}", torch.get_num_threads())


@contextmanager
def threads_of(then: Processor) -> Iterator[None]:
    """As many CPU threads as a score was computed with on a processor like this one; the former
    number afterwards.

    Elsewhere other bits are to be expected anyway, and this host may have far fewer cores.
    """
    before = torch.get_num_threads()
    if then.threads and then.name == processor_of(torch.device("cpu")).name:
        torch.set_num_threads(then.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# of x86, then of ARM
NUMBERS = ("cpu family", "model", "CPU implementer", "CPU variant", "CPU part")


@cache
def _cpu() -> str:
    """Model and instruction set; the numbers tell apart what virtual machines, and ARM, give one
    name.
    """
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    name = facts.get("model name", platform.machine())
    numbers = "/".join(facts[key] for key in NUMBERS if key in facts)
    return " ".join(filter(None, [name, numbers, torch.backends.cpu.get_cpu_capability()]))
