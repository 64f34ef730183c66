"""What a worker and a trial's process say to each other over their pipe: plain values, no torch."""

from dataclasses import dataclass
from pathlib import Path

from objectives.results import EpochResult

SURROUNDINGS = "surroundings"  # the cause of a failure that is not the trial's own: no artifact store, a full disk


@dataclass(frozen=True)
class Job:
    """One trial as its process gets it: plain values only."""

    config: str  # JSON
    dataset: Path  # the memory map's folder
    blobs: str  # URL of the artifact store
    seed: int
    gpu: str  # its uuid; empty on a CPU
    threads: int
    prefetchers: int  # processes that augment ahead of the GPU
    rungs: tuple[int, ...]  # epochs after which the worker may prune: always saved and told
    last: str  # blob of the state to go on from, or empty
    best: str  # blob of the best weights so far, or empty
    memory_bytes: int  # what the device has for one trial; 0: unknown
    gpu_bf16: bool  # whether the GPU computes bfloat16 natively


@dataclass(frozen=True)
class Checked:
    """What a config needs, told before any training; with a ``problem`` it cannot work, and nothing follows."""

    parameters: int
    multiply_adds: int  # of one frame, forward
    memory_bytes: int  # of training, estimated
    problem: str  # one line, or empty


@dataclass(frozen=True)
class Saved:
    """The state after some epochs is in the store, and ``results`` are all epochs so far."""

    number: int  # of this message, from 1
    results: tuple[EpochResult, ...]
    last: str  # blob of the whole state
    best: str  # blob of the best epoch's weights
    finished: bool  # no epoch is left to train: too late to prune


@dataclass(frozen=True)
class Finished:
    """Training is over: all epochs, early stop, or the worker's word."""

    pictures: dict[str, bytes]  # PNG by file name


@dataclass(frozen=True)
class Failed:
    """Training cannot go on; ``cause`` is one word."""

    cause: str
    message: str


@dataclass(frozen=True)
class Reply:
    """The worker's word on one ``Saved``."""

    to: int
    stop: bool
