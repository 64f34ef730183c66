"""optuna-dashboard over the study's database and pictures: what of it is open, who may ask, and how
it bears outages.

It has no login: whoever reaches the port can read every study, write notes and fail trials. So it
listens on this machine only by default.
"""

import ipaddress
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import optuna_dashboard
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from objectives.errors import SearchError, WorldError
from search.artifacts.pictures import open_pictures
from search.dashboard.gate import HEADERS, answer, gate, is_loopback, refuse, spell
from search.dashboard.http_server import THREADS, build_server, listen
from search.dashboard.routes import guard
from search.database.connections import (
    open_engine,
    outage,
    reason,
)
from search.database.optuna_storage import (
    Fence,
    open_optuna,
)
from search.database.schema import check_version

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HEALTH = "/health"

_POLL_S = 0.5


def serve(
    storage: RDBStorage,
    blobs_url: str,
    host: str = "127.0.0.1",
    port: int = 8080,
    names: frozenset[str] = frozenset(),
) -> None:
    """Serve the dashboard until SIGTERM (exit code 0) or Ctrl-C; prints its URL once it listens.
    Port 0 takes a free one.

    It answers to loopback names, to the host that it is bound to (an address for all of them names
    none), and to ``names``. ``GET /health`` answers 200 while the database answers, else 503, by
    whatever name it is asked.

    Raises:
        UserError: The port or the address cannot be used, or ``blobs_url`` is wrong.
    """
    app = _build_app(storage, blobs_url)
    with exit_on_sigterm(), closing(listen(host, port)) as listener:
        address, bound_port = listener.getsockname()[:2]
        own = names if ipaddress.ip_address(address).is_unspecified else names | {spell(host)}
        server = build_server(gate(app, own, frozenset({HEALTH})), listener, HEADERS)
        with suppress(KeyboardInterrupt):  # also one that comes while it is announced
            _announce(host, address, bound_port, own)
            server.run()


def open_tables(url: str, longest_s: float) -> RDBStorage:
    """Optuna's storage, as soon as its tables are there (``search init`` makes them); says what it
    waits for.

    It waits for the tables as long as it takes, and for a database that does not answer
    ``longest_s`` seconds each time. On an empty database RDBStorage would fail, or race with the
    one who makes the tables.

    Raises:
        UserError: Our tables are of a version that this program cannot use.
        WorldError: The database does not answer.
    """
    engine = open_engine(url)
    shown = ""
    answered_at = time.monotonic()
    with exit_on_sigterm():
        while True:
            try:
                if _has_tables(engine):
                    engine.dispose()
                    return open_optuna(url, Fence(), connections=THREADS)
                answered_at = time.monotonic()
                why = "the database holds no study yet; waiting for `search init`"
            except (SQLAlchemyError, StorageInternalError) as error:
                if not outage(error) or time.monotonic() - answered_at >= longest_s:
                    raise WorldError(f"the database does not answer: {reason(error)}") from error
                why = f"the database does not answer ({reason(error)}); waiting for it"
            if why != shown:
                print(f"dashboard: {why}", file=sys.stderr, flush=True)
                shown = why
            time.sleep(_POLL_S)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process at once with exit code 0; does nothing outside the main
    thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _has_tables(engine: Engine) -> bool:
    """Return whether the tables are complete: the schema's revision is the last thing that Optuna
    writes when it makes them.

    Raises:
        UserError: Ours are of a version that this program cannot use.
    """
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        check_version(connection)
        return bool(connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one())


def _build_app(storage: RDBStorage, blobs_url: str) -> "WSGIApplication":
    app = optuna_dashboard.wsgi(storage, artifact_store=open_pictures(blobs_url))
    guard(app)
    # Bottle would answer an error with a traceback; _guarded answers with a line
    app.catchall = False
    api_log = logging.getLogger("optuna_dashboard._bottle_util")
    if _keep_first_line not in api_log.filters:
        api_log.addFilter(_keep_first_line)
    return _guarded(app, storage.engine)


def _keep_first_line(record: logging.LogRecord) -> bool:
    """Cut the tracebacks that the dashboard writes into its messages, for every request of a
    database outage.
    """
    error = sys.exc_info()[1]  # it logs where it catches
    line = (
        _first_line(error)
        if isinstance(error, Exception)
        else record.getMessage().partition("\n")[0]
    )
    record.msg = f"dashboard: {line}"
    record.args = ()
    return True


def _guarded(app: "WSGIApplication", engine: Engine) -> "WSGIApplication":
    """Return ``app`` with a health check, and with one line instead of a traceback where the
    surroundings fail.
    """

    def served(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # the app asks for it where it is not
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")
        try:
            if environ["PATH_INFO"] == HEALTH:
                _ask(engine)
                return answer(environ, start_response, HTTPStatus.OK, "ok")
            return app(environ, start_response)
        except ArtifactNotFound as error:
            return refuse(environ, start_response, HTTPStatus.NOT_FOUND, _first_line(error))
        except (SQLAlchemyError, StorageInternalError, SearchError, OSError) as error:
            print(
                f"dashboard: {environ['PATH_INFO']}: {_first_line(error)}",
                file=sys.stderr,
                flush=True,
            )
            why = "the database or the artifact store does not answer"
            return refuse(environ, start_response, HTTPStatus.SERVICE_UNAVAILABLE, why)

    return served


def _ask(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def _first_line(error: Exception) -> str:
    """Return our own error's line, else its cause's: Optuna hides the database's words behind
    advice of its own.
    """
    cause = error if isinstance(error, SearchError | ArtifactNotFound) else error.__cause__ or error
    return str(cause).partition("\n")[0]


def _announce(host: str, address: str, port: int, names: frozenset[str]) -> None:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{shown}]" if ":" in shown else shown
    print(f"dashboard: http://{shown}:{port}/dashboard", flush=True)
    if is_loopback(address):
        return
    print(
        f"dashboard: no login, and {host} is not this machine alone: whoever reaches it can read "
        f"every study",
        flush=True,
    )
    if not names:
        print(
            "dashboard: from elsewhere it answers only to names that --allowed-host gives it",
            flush=True,
        )
