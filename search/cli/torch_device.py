"""The torch device that ``--device`` means here."""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
import typer

from objectives.device.fallback import gpu_or_cpu
from objectives.errors import UserError
from search.machine.gpus import offer

Found = TypeVar("Found")


def torch_device(name: str) -> torch.device:
    """Return the torch device of a ``--device`` value, its number counted in PCI order as the
    driver does.

    Raises:
        UserError: This host has none such.
        WorldError: The driver or all its cards do not answer.
    """
    # before the first CUDA call of this process
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    count = torch.cuda.device_count()
    number = int(name.partition(":")[2] or 0)
    if name == "auto":
        if not count and offer(name).gpus:
            typer.echo(
                "search: the driver lists GPUs and torch sees none: on the CPU; `search doctor` "
                "says why",
                err=True,
            )
        return torch.device("cuda" if count else "cpu")
    if name != "cpu" and number >= count:
        raise UserError(
            f"--device {name}: torch sees {count} GPU(s) here, counted from 0; use --device cpu"
        )
    return torch.device(name)


def on_device(name: str, work: Callable[[torch.device], Found]) -> Found:
    """Return what the work gives on the device of a ``--device`` value, or on the CPU where that
    has no memory for it.
    """
    return gpu_or_cpu(torch_device(name), work)
