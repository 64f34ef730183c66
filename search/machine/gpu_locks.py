"""Which GPUs of this host have workers, whatever database they work for: each holds a lock on a
file for as long as it lives.

The kernel drops a lock with its process, however that ends. It is ``flock`` on files opened for
reading, so that workers of several users may share the folder, where the kernel lets nobody open
another's file for writing. Containers see each other's locks only where they share ``/run/lock``;
without a folder for locks there are none, and the roster alone counts.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDERS = (Path("/run/lock"), Path("/tmp"))
GATE_S = 5.0  # a process that was frozen while it chose holds the others up for so long
POLL_S = 0.02
MOST = 256  # locks of one GPU, more than have room on it
# every user finds the same folder: the first that all may write to
SHARED = stat.S_ISVTX | stat.S_IRWXO
_held: dict[str, int] = {}  # worker -> the open file of its lock


@contextmanager
def gate() -> Iterator[None]:
    """Let no other worker of this host choose a GPU meanwhile."""
    folder = _folder()
    file = _open(folder / "search-gpus") if folder else None
    deadline = time.monotonic() + GATE_S
    try:
        while file is not None and not _locked(file, fcntl.LOCK_EX) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        yield
    finally:
        if file is not None:
            os.close(file)


def workers_on(gpu: str) -> int:
    """Return how many live workers of this host hold the GPU of this uuid."""
    folder = _folder()
    paths = folder.glob(f"{_name(gpu)}-*") if folder else ()
    return sum(_is_held(path) for path in paths)


def hold(gpu: str, worker: str) -> None:
    """Hold the GPU of this uuid for a worker of this process, beside whoever else holds it."""
    release(worker)
    folder = _folder()
    if folder is None:
        return
    for number in range(MOST):
        file = _open(folder / f"{_name(gpu)}-{number}")
        if file is None:  # somebody else's, and shut; or the folder takes no more
            continue
        if _locked(file, fcntl.LOCK_EX):
            _held[worker] = file
            return
        os.close(file)


def release(worker: str) -> None:
    """Hold nothing any more for a worker of this process."""
    if worker in _held:
        os.close(_held.pop(worker))


def _folder() -> Path | None:
    for folder in FOLDERS:
        with suppress(OSError):
            mode = folder.stat().st_mode
            if (
                stat.S_ISDIR(mode)
                and mode & SHARED == SHARED
                and os.access(folder, os.W_OK | os.X_OK)
            ):
                return folder
    return None


def _name(gpu: str) -> str:
    return f"search-gpu-{gpu.replace('/', '_')}"


def _open(path: Path) -> int | None:
    """Open a file for its lock, made where it is not there yet; None where neither can be."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for made in (0, os.O_CREAT | os.O_EXCL, 0):  # the last: another has just made it
        with suppress(OSError):
            file = os.open(path, flags | made, 0o644)
            if made:
                with suppress(OSError):
                    os.fchmod(file, 0o644)  # whatever the mask says: others must be able to look
            return file
    return None


def _locked(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_held(path: Path) -> bool:
    file = _open(path)
    if file is None:
        return False
    try:
        # shared: two that look at once do not see each other
        return not _locked(file, fcntl.LOCK_SH)
    finally:
        os.close(file)
