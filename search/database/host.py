"""Which host this is, and which one runs the server of a home on a shared disk."""

import socket
from pathlib import Path

from objectives.errors import WorldError


def host_id() -> str:
    """Return the host's boot id, which the containers of one host share; its name where the kernel
    gives none.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def note_host(folder: Path) -> None:
    """Write down that this host runs the server of a folder."""
    _record(folder).write_text(f"{socket.gethostname()} {host_id()}\n")


def noted_name(folder: Path) -> str:
    """Return the name of the host that has run the server of a folder last; this host's where none
    is written down.
    """
    return _noted(folder)[0]


def refuse_elsewhere(folder: Path) -> None:
    """Refuse to start a server over the files of one that has not ended on another host: what is no
    process here may be one there, and two servers would destroy them.

    Raises:
        WorldError: There seems to be one.
    """
    name, host = _noted(folder)
    if not (folder / "postmaster.pid").exists():
        return
    if host != host_id() and name != socket.gethostname():  # a host of this name was started anew
        raise WorldError(
            f"it runs on host {name}: end it there, or reach it by --storage (`search serve`); if "
            f"that host is gone, remove {_record(folder)}"
        )


def _noted(folder: Path) -> tuple[str, str]:
    """Return name and id of the host that is written down; of this one where none is."""
    try:
        name, host = _record(folder).read_text().split()
    except (OSError, ValueError):
        return socket.gethostname(), host_id()
    return name, host


def _record(folder: Path) -> Path:
    return folder.parent / "postgres.host"
