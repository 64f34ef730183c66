"""Trials' processes that break in the middle of a message; imported by the process that
forks them.
"""

import os
import pickle
import signal
import struct
import time
from multiprocessing.connection import Connection
from pathlib import Path

from search.process.messages import Job, Noted
from search.process.parent import Count

MANY = 200


def half_a_message(pipe: Connection) -> None:
    """A message's length, and less than that."""
    pipe.send(Noted("is about to break"))
    os.write(pipe.fileno(), struct.pack("!i", 100_000) + b"x" * 10)


def dies(pipe: Connection, job: Job, beats: Count) -> None:
    """Die in the middle of a message."""
    half_a_message(pipe)
    os._exit(7)


def freezes(pipe: Connection, job: Job, beats: Count) -> None:
    """Stand still in the middle of a message."""
    half_a_message(pipe)
    os.kill(os.getpid(), signal.SIGSTOP)


def leaves_an_heir(pipe: Connection, job: Job, beats: Count) -> None:
    """Die while a process that it has forked keeps its end of the pipe."""
    half_a_message(pipe)
    if os.fork() == 0:
        time.sleep(5.0)
        os._exit(0)
    os._exit(7)


def talks(pipe: Connection, job: Job, beats: Count) -> None:
    """Say far more than a pipe holds, and then end well."""
    for number in range(MANY):
        pipe.send(Noted(f"{number} " + "x" * 50_000))
        beats.value += 1
    os._exit(0)


def says(pipe: Connection, job: Job, beats: Count, *, folder: Path) -> None:
    """Say what a test has written for this trial, then end."""
    for message in pickle.loads((folder / f"{job.number}.pickle").read_bytes()):
        pipe.send(message)
    os._exit(0)
