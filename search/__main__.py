"""The beginning of every command, as a script and as ``python -m search``."""

import gc
import os
import signal
import sys
from pathlib import Path


def start() -> None:
    """Import the command line and run it; Ctrl-C ends the command without a traceback, while it is
    still importing, too.
    """
    open_missing()
    gc.set_threshold(
        100_000, 20, 20
    )  # what imports make stays: looking for garbage costs a seventh
    if sys.path[:1] != [str(Path(__file__).resolve().parents[1])]:  # no `python -m` of a checkout
        # what lies in the caller's folder, a queue.py say, is not imported by processes of ours
        os.environ.setdefault("PYTHONSAFEPATH", "1")
    # in the background of a shell it is ignored
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from search.cli.app import run

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def open_missing() -> None:
    """Put /dev/null in the place of standard streams that were closed: what is opened first would
    take their numbers.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # which children inherit
            if null != number:
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # for good


if __name__ == "__main__":
    start()
