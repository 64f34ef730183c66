"""The embedded database on TCP, from its options to the lines that workers need."""

import ipaddress
import os
import shlex
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

import typer

from search.artifacts.location import Folder, parse_location
from search.dashboard.app import exit_on_sigterm
from search.database.capacity import ask_capacity
from search.database.passwords import redacted
from search.database.postmaster import Address, read_postmaster
from search.database.serving import Served, find_served, served_postgres
from search.place import home_folder, name_artifacts


def serve(
    host: str,
    port: int,
    workers: int,
    artifacts: str,
    check: bool,
    storage: str,
    home: Path | None,
) -> None:
    """Serve the embedded database of a home until told to end, or ask one whether it answers."""
    folder = home_folder(home)
    if check:
        url = storage or find_served(folder).whole_url()
        typer.echo(f"{redacted(url)} answers; {ask_capacity(url)}")
        return
    store = _everywhere(name_artifacts(artifacts, home))
    address = Address(host or socket.gethostname(), port)
    # to be told to end is no failure, whatever it was about
    with (
        exit_on_sigterm(),
        suppress(KeyboardInterrupt, SystemExit),
        served_postgres(folder, address, workers) as served,
    ):
        _announce(served, store)
        served.wait()
    if read_postmaster(folder / "postgres"):
        _say("other commands on this host use the database: it goes on until the last of them ends")


def _announce(served: Served, store: str) -> None:
    """Say on stderr what is served, and on stdout, for a file or a shell, what workers need."""
    _say(f"{redacted(served.whole_url())} answers; {ask_capacity(served.whole_url())}")
    _say("nothing is encrypted: use it inside a cluster's own network, or through SSH")
    if _is_loopback(served.host):
        _say(f"{served.host} is this machine alone: --host names one of its addresses to others")
    secret = served.whole_url()
    if _others_may_read(sys.stdout.fileno()):
        secret = served.url(f"$(cat {shlex.quote(str(served.password_file))})")
    typer.echo(f"export SEARCH_STORAGE={secret}")
    typer.echo(f"export SEARCH_ARTIFACTS={shlex.quote(store)}")
    sys.stdout.flush()


def _everywhere(store: str) -> str:
    """Return an artifact store as every folder and host names it.

    Raises:
        UserError: It cannot be one.
    """
    location = parse_location(store)
    return str(location.path.resolve()) if isinstance(location, Folder) else store


def _is_loopback(host: str) -> bool:
    with suppress(OSError):
        found = socket.getaddrinfo(host, None)
        return all(ipaddress.ip_address(each[4][0]).is_loopback for each in found)
    return False


def _others_may_read(number: int) -> bool:
    """Return whether what is written goes into a file that is not its owner's alone: the log of a
    batch system, say.
    """
    status = os.fstat(number)
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o077)


def _say(line: str) -> None:
    typer.echo(f"serve: {line}", err=True)
