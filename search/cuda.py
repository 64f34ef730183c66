"""Whether CUDA starts here: a driver may list GPUs that no program can use, for its version or for what the container lacks."""

import multiprocessing
import os
from multiprocessing.connection import Connection

from objectives.errors import WorldError, first_line
from search.process import END_S

LONGEST_S = 120.0  # for the first call of a cold driver


def check_cuda(gpu: str) -> None:
    """Nothing when CUDA starts on the GPU of this uuid, or when there is none to try. Needs ``process.preload``.

    It is tried in a process of its own: this one never imports torch.
    Raises: WorldError saying why it does not start.
    """
    if not gpu:
        return
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_start, args=(theirs, gpu), name="cuda")
    try:
        process.start()
        theirs.close()
        why = str(ours.recv()) if ours.poll(LONGEST_S) else f"no word in {LONGEST_S:g} s"
    except (OSError, EOFError):
        why = "the process that tried it has died"
    finally:
        if process.pid is not None:
            process.kill()
            process.join(END_S)
        ours.close()
    if why:
        raise WorldError(f"CUDA does not start on {gpu}: {why}; use --device cpu, or see `search doctor`")


def _start(pipe: Connection, gpu: str) -> None:
    """Start CUDA, and say why it does not; nothing else is wrong when it says nothing."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    import torch

    try:
        torch.cuda.current_device()  # takes no memory, so that a full GPU, or one that another has to itself, is no reason
        pipe.send("")
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        pipe.send(first_line(error))
