"""What people should know of the GPUs on which several workers of a study are at work."""

from collections.abc import Iterable, Mapping
from typing import Any

from objectives.errors import listed

Workers = Iterable[Mapping[str, Any]]  # as a study's status has them


def shared_gpus(workers: Workers) -> list[str]:
    """Return a line for each GPU that is divided, or that several live workers share."""
    on: dict[str, list[Mapping[str, Any]]] = {}
    for worker in workers:
        if worker["alive"] and worker["device"] != "cpu":
            on.setdefault(worker["device"], []).append(worker)
    return [_line(gpu, there) for gpu, there in on.items() if len(there) > 1 or there[0]["slots"]]


def _line(gpu: str, workers: list[Mapping[str, Any]]) -> str:
    slots = sorted({worker["slot"] for worker in workers})
    have = f"slots {listed(map(str, slots))} of {workers[0]['slots']}" if slots[0] else "all of it"
    mps = "MPS runs" if workers[-1]["mps"] else "MPS does not run"
    return f"{gpu}: {len(workers)} worker(s) have {have}; {mps}"
