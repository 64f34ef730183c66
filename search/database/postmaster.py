"""What the files of an embedded server say of it, and whether that is true: after a power cut its
number may be anybody's.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from objectives.errors import WorldError

PORT = 5432  # of a server that listens on a Unix socket only: a part of the socket's name
_SOCKETS = ".s.PGSQL.*"


@dataclass(frozen=True)
class Address:
    """Where a server listens on TCP."""

    host: str  # a name or an address; empty: nowhere
    port: int


@dataclass(frozen=True)
class Postmaster:
    """A server's process, and where it listens."""

    pid: int
    address: Address


def socket_name(port: int) -> str:
    """Return the name of a server's Unix socket."""
    return f".s.PGSQL.{port}"


def read_postmaster(folder: Path) -> Postmaster | None:
    """Return what the server of a folder has written of itself; None where it has ended, and while
    it starts.
    """
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), Address(lines[5].strip(), int(lines[3])))
    except (FileNotFoundError, IndexError, ValueError):
        return None


def forget_stranger(folder: Path) -> None:
    """Drop the files that name the server when there is none: after a power cut their number may be
    anybody's.

    The package takes whatever process has the number for the server, and would end it.

    Raises:
        WorldError: A server answers that is no process of this machine, or of this container.
    """
    words = _words_of_named(folder / "postmaster.pid")
    locks = list(folder.glob(f"{_SOCKETS}.lock"))
    answers = any(_answers(path) for path in folder.glob(_SOCKETS) if path not in locks)
    if words and Path(words[0]).name == "postgres" and (str(folder) in words or answers):
        return
    if answers:
        raise WorldError(
            "another container has it running; stop it there, or choose another --home"
        )
    for file in (folder / "postmaster.pid", *locks):
        file.unlink(missing_ok=True)


def _words_of_named(file: Path) -> list[str]:
    """Return the command of the process whose number a server has written into its file; none
    without such a process.
    """
    try:
        return list(psutil.Process(int(file.read_text().partition("\n")[0])).cmdline())
    except (OSError, ValueError, psutil.Error):
        return []


def _answers(path: Path) -> bool:
    """Return whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # too many ask at once, say
            return True
    return True
