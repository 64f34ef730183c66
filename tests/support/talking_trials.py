"""Trials that train in this process and tell a worker that the test plays."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from objectives.config import Config
from objectives.data.dataset import Dataset
from search.artifacts import open_objects
from search.artifacts.marker import MARKERS
from search.process.child import train
from search.process.link import Link
from search.process.messages import (
    Job,
    Message,
    Run,
    Word,
)
from spaces import load_space

MARKER = "ab" * 32


def link() -> tuple[Connection, Link]:
    """The worker's end of a pipe, and the other one as a trial's process holds it."""
    ours, theirs = multiprocessing.Pipe()
    return ours, Link(theirs, multiprocessing.RawValue("Q", 0))


def job_of(config: Config, data: Dataset, folder: Path) -> Job:
    return Job(
        0, config.model_dump_json(), data.directory, str(folder), folder, MARKER, Run(1), "", threads=1, prefetchers=0,
        rungs=(), checkpoints=(), memory_bytes=0, limited=False, alone=False, gpu_bf16=False, verbose=False,
    )  # fmt: skip


def trained(data: Dataset, folder: Path, *words: Word, epochs: int) -> list[Message]:
    """What a trial has told; the worker has said these words before it began, and is silent from
    then on.
    """
    open_objects(str(folder), MARKERS).write(MARKER, b"")
    config = load_space("tiny", (f"train.epochs={epochs}", "train.steps_per_epoch=1")).default()
    job = job_of(config, data, folder)
    worker, ours = link()
    for word in words:
        worker.send(word)
    # hears while it trains, as a worker does: a pipe holds no three pictures
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(heard, worker)
        with ours.pipe:
            train(job, config, data, ours)
        return told.result()


def heard(pipe: Connection) -> list[Message]:
    """All messages until the other end is closed."""
    told = list[Message]()
    with suppress(EOFError):
        while True:
            told.append(pipe.recv())
    return told
