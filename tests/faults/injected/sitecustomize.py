"""Faults that no test machine has at hand, put into the program's own processes from outside: FAULTS_INJECT names them.

Python runs this file at its start, in every process whose PYTHONPATH names this folder. What it changes stands for hardware
or for other people's code; everything else is the program itself.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ECC = "CUDA error: uncorrectable ECC error encountered"


def score_is_no_number(fit: ModuleType) -> None:
    """Every other trial scores NaN from its third epoch on, as a score of somebody's own may."""
    prepare, epoch_result = fit.prepare, fit.EpochResult
    seeds: list[int] = []

    def prepared(*args: Any, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        return prepare(*args, seed=seed, **options)

    def result(**fields: Any) -> Any:
        spoilt = seeds[-1] % 2 == 1 and fields["number"] >= 3
        return epoch_result(**fields | ({"score": float("nan")} if spoilt else {}))

    fit.prepare, fit.EpochResult = prepared, result  # type: ignore[attr-defined]


def gpu_breaks(cuda: ModuleType) -> None:
    """CUDA starts, and whatever is to be computed on the device fails."""

    def broken() -> None:
        raise RuntimeError(ECC)

    cuda.current_device = lambda: 0  # type: ignore[attr-defined]
    cuda._lazy_init = broken  # type: ignore[attr-defined]


FAULTS: dict[str, tuple[str, Callable[[ModuleType], None]]] = {
    "score": ("objectives.fit", score_is_no_number),
    "gpu": ("torch.cuda", gpu_breaks),
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


for fault in filter(None, os.environ.get("FAULTS_INJECT", "").split(",")):
    sys.meta_path.insert(0, After(*FAULTS[fault]))
if "gpu" in os.environ.get("FAULTS_INJECT", ""):
    sys.path.insert(0, str(Path(__file__).parent / "driver"))
