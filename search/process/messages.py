"""What the worker and a trial's process say to each other over their pipe: plain values,
no torch.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from objectives.data.options import AS_THEY_ARE, Dealing
from objectives.training.augment_on import AugmentOn
from objectives.training.results import EpochResult


class Cause(StrEnum):
    """Why a trial ended, or why its process did; shown in the dashboard as ``end_cause``."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    INFEASIBLE = "infeasible"  # the config cannot work, or does not fit into memory
    DIVERGED = "diverged"  # the loss is not finite
    ERROR = "error"
    CRASHED = "crashed"  # its process died, time and again
    HUNG = "hung"  # its process stood still, twice
    # not the trial's own: no artifact store, a full disk. It is tried again, and never reported
    SURROUNDINGS = "surroundings"


@dataclass(frozen=True)
class Run:
    """What decides a training run beside its config and data."""

    seed: int  # of initialisation, data order and augmentation
    dealing: Dealing = AS_THEY_ARE  # of training and validation; without: the study's own parts
    # to train to, and to score; 0: as the config says, and the best epoch counts
    last_epoch: int = 0
    everything: bool = False  # trains on all labelled frames: its score says nothing of new ones
    # merits of the same epochs of a run before, which the schedule hears; none: its own
    heard: tuple[float, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """The whole state after some epochs, and the best epoch's weights so far: two blobs that belong
    together.
    """

    last: str
    best: str


@dataclass(frozen=True)
class Job:
    """One trial as its process gets it: plain values only."""

    number: int
    config: str  # JSON
    dataset: Path  # the memory map's folder
    blobs: str  # URL of the artifact store
    cache: Path  # this host's, where copies of given weights lie
    marker: str  # that the store must hold: without it, it is another one
    run: Run
    gpu: str  # its uuid; empty on a CPU
    threads: int
    prefetchers: int  # processes that augment ahead of the GPU
    rungs: tuple[int, ...]  # epochs after which the worker may prune: always saved and reported
    # to go on from, the newest first; the next one is for when the first is damaged
    checkpoints: tuple[Checkpoint, ...]
    memory_bytes: int  # what the device has for one trial; 0: unknown
    limited: bool  # whether it may take no more of its GPU, which others share, than that
    alone: bool  # whether it stays out of a context that processes of its GPU share: see `use_gpu`
    gpu_bf16: bool  # whether the GPU computes bfloat16 natively
    verbose: bool  # print a line for each epoch
    augment_on: AugmentOn = "host"


@dataclass(frozen=True)
class Checked:
    """What a config needs, sent before any training; with a ``problem`` it cannot work, and nothing
    follows.
    """

    parameters: int
    multiply_adds: int  # of one frame, forward
    memory_bytes: int  # of training, estimated
    problem: str  # one line, or empty
    on_device: bool = False  # frames are augmented there


@dataclass(frozen=True)
class Noted:
    """Something for people to read: the store is away, a checkpoint is damaged."""

    text: str


@dataclass(frozen=True)
class Trained:
    """An epoch more is trained, and not saved yet."""


@dataclass(frozen=True)
class Saved:
    """The state after some epochs is in the store, and ``results`` are all epochs so far.

    ``left_out`` has the score of the epoch that counts without each block of validation places in turn
    (see `blocks_of`); nothing where there is but one.
    """

    number: int  # of this message, from 1
    results: tuple[EpochResult, ...]
    checkpoint: Checkpoint
    finished: bool  # no epoch is left to train: too late to prune
    left_out: tuple[float, ...] = ()


@dataclass(frozen=True)
class Timed:
    """How long the trained network takes for one frame, on the trial's device and threads."""

    latency_s: float


@dataclass(frozen=True)
class Drawn:
    """A picture of what was trained, to be shown before the trial ends."""

    filename: str
    png: bytes


@dataclass(frozen=True)
class Finished:
    """Training is over: all epochs, early stop, or the worker's word."""


@dataclass(frozen=True)
class Failed:
    """Training cannot go on."""

    cause: Cause
    message: str


Message = Checked | Noted | Trained | Saved | Timed | Drawn | Finished | Failed


@dataclass(frozen=True)
class Reply:
    """The worker's word on one ``Saved``."""

    to: int
    stop: bool


@dataclass(frozen=True)
class SaveNow:
    """The worker's word between two saves: it may have to end the training, and wants all that is
    trained saved first.
    """


Word = Reply | SaveNow
