"""The beginning of every command, as a script and as ``python -m search``."""

import signal


def start() -> None:
    """Import the command line and run it; Ctrl-C ends the command without a traceback, while it is still importing, too."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # in the background of a shell it is ignored
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from search.main import run

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    start()
