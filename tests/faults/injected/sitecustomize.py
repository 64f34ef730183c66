"""Faults that no test machine has at hand, put into the program's own processes from outside:
FAULTS_INJECT names them.

Python runs this file at its start, in every process whose PYTHONPATH names this folder. What it
changes stands for hardware or for other people's code; everything else is the program itself.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

FLUSH_S = 0.1  # of a slow disk
ECC = "CUDA error: uncorrectable ECC error encountered"


def score_is_no_number(fit: ModuleType) -> None:
    """Every other trial scores NaN from its third epoch on, as a score of somebody's own may."""
    begin, epoch_result = fit.begin, fit.EpochResult
    seeds: list[int] = []

    def begun(batches: Any, **options: Any) -> Any:
        seeds.append(batches.seed)
        return begin(batches, **options)

    def result(**fields: Any) -> Any:
        spoilt = seeds[-1] % 2 == 1 and fields["number"] >= 3
        return epoch_result(**fields | ({"score": float("nan")} if spoilt else {}))

    fit.begin, fit.EpochResult = begun, result  # type: ignore[attr-defined]


def gpu_breaks(cuda: ModuleType) -> None:
    """CUDA starts, and whatever is to be computed on the device fails."""

    def broken() -> None:
        raise RuntimeError(ECC)

    cuda.current_device = lambda: 0  # type: ignore[attr-defined]
    cuda.get_device_properties = lambda _: SimpleNamespace(total_memory=8 * 2**30, major=8)  # type: ignore[attr-defined]
    cuda._lazy_init = broken  # type: ignore[attr-defined]


def driver_lists_it(driver: ModuleType) -> None:
    """The driver lists one card."""
    gpu = driver.Gpu("GPU-broken", "Broken", 8 * 2**30, bf16=True)
    listed = driver.Driver(
        installed=True, version="580.0", cards=(driver.Card(0, gpu.uuid, (gpu,)),)
    )
    driver.read_driver = lambda: listed  # type: ignore[attr-defined]


def disk_is_slow(folder: ModuleType) -> None:
    """Each flush to the disk takes a while, so that half-written files are there to be seen."""
    flush = os.fsync

    def slowly(fd: int) -> None:
        time.sleep(FLUSH_S)
        flush(fd)

    folder.os.fsync = slowly


def later_program(schema: ModuleType) -> None:
    """A program with one step more for the tables, which asks for its like."""
    schema.STEPS += ("ALTER TABLE search_worker ADD COLUMN later INTEGER NOT NULL DEFAULT 0",)  # type: ignore[attr-defined]
    schema.SCHEMA = schema.OLDEST = 1 + len(schema.STEPS)  # type: ignore[attr-defined]


FAULTS: dict[str, dict[str, Callable[[ModuleType], None]]] = {
    "score": {"objectives.training.fit": score_is_no_number},
    "later": {"search.database.schema": later_program},
    "disk": {"search.artifacts.folder": disk_is_slow},
    "gpu": {"torch.cuda": gpu_breaks, "search.machine.driver": driver_lists_it},
}


class After(importlib.abc.MetaPathFinder):
    """Changes a module once it is imported."""

    def __init__(self, name: str, change: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.change = change

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # once; the others find the module
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def executed(module: ModuleType) -> None:
            execute(module)
            self.change(module)

        spec.loader.exec_module = executed  # type: ignore[method-assign]
        return spec


for module, change in FAULTS.get(os.environ.get("FAULTS_INJECT", ""), {}).items():
    sys.meta_path.insert(0, After(module, change))
