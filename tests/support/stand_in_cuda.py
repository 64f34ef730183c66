"""What CUDA does in a process of its own, without CUDA; in a module of its own, since that process
imports it by name.
"""

import os
import time
from multiprocessing.connection import Connection

from search.machine.cuda import Facts

MEMORY_BYTES = 2**30
BROKEN = "GPU-bbbb-1"


def start(pipe: Connection, gpu: str) -> None:
    pipe.send(Facts(memory_bytes=MEMORY_BYTES, bf16=True))


def start_and_say_nothing(pipe: Connection, gpu: str) -> None:
    pipe.send(Facts(memory_bytes=0, bf16=True))


def start_not(pipe: Connection, gpu: str) -> None:
    pipe.send("CUDA driver version is insufficient")


def multiply(pipe: Connection, gpu: str) -> None:
    pipe.send("CUDA error: uncorrectable ECC error encountered" if gpu == BROKEN else "")


def die(pipe: Connection, gpu: str) -> None:
    os._exit(1)


def hang(pipe: Connection, gpu: str) -> None:
    time.sleep(60.0)
