"""A question that a process of its own answers: this one never imports torch, and outlives what the
answer costs.
"""

import multiprocessing
from collections.abc import Callable
from typing import Any

from search.process.parent import END_S


def asked(target: Callable[..., None], *arguments: Any, name: str, longest_s: float) -> Any:
    """Return what ``target`` sends through the pipe that it is given before its arguments. Needs
    `preload`.

    Raises:
        TimeoutError: It has said nothing for so long.
        OSError: Its process cannot be started, or has died.
    """
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(theirs, *arguments), name=name)
    try:
        process.start()
        theirs.close()
        if not ours.poll(longest_s):
            raise TimeoutError(f"no word in {longest_s:g} s")
        return ours.recv()
    except EOFError as error:
        raise OSError("the process that tried it has died") from error
    finally:
        if process.pid is not None:
            process.kill()
            process.join(END_S)
        ours.close()
