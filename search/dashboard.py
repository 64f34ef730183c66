"""optuna-dashboard over the study's database and pictures, on a small threaded server.

It has no login: whoever reaches the port can delete studies. So it listens on this machine only unless told otherwise.
"""

import errno
import ipaddress
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import optuna_dashboard
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from objectives.errors import SearchError, UserError, WorldError
from search.patience import reason
from search.pictures_store import open_pictures
from search.storage import Fence, open_engine, open_optuna, outage

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_POLL_S = 0.5


def serve(storage: RDBStorage, blobs_url: str, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve the dashboard until SIGTERM (exit code 0) or Ctrl-C; prints its URL once it listens. Port 0 takes a free one.

    ``GET /health`` answers 200 while the database answers, else 503.

    Raises:
        UserError: the port or the address cannot be used, or ``blobs_url`` is wrong.
    """
    app = _build_app(storage, blobs_url)
    with exit_on_sigterm(), _listen(host, port) as server:
        server.set_app(app)
        _announce(host, server.server_port)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def open_tables(url: str, longest_s: float) -> RDBStorage:
    """Optuna's storage, as soon as its tables are there (``search init`` makes them); says what it waits for.

    It waits for the tables as long as it takes, and for a database that does not answer ``longest_s`` seconds each time. On
    an empty database RDBStorage would fail, or race with the one who makes the tables.

    Raises:
        WorldError: the database does not answer.
    """
    engine, told, answered_at = open_engine(url), "", time.monotonic()
    with exit_on_sigterm():
        while True:
            try:
                if _has_tables(engine):
                    engine.dispose()
                    return open_optuna(url, Fence(), connections=8)
                answered_at, why = time.monotonic(), "the database holds no study yet; waiting for `search init`"
            except (SQLAlchemyError, StorageInternalError) as error:
                if not outage(error) or time.monotonic() - answered_at >= longest_s:
                    raise WorldError(f"the database does not answer: {reason(error)}") from error
                why = f"the database does not answer ({reason(error)}); waiting for it"
            if why != told:
                print(f"dashboard: {why}", file=sys.stderr, flush=True)
                told = why
            time.sleep(_POLL_S)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process at once with exit code 0; does nothing outside the main thread."""
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
    """Whether the tables are complete: the schema's revision is the last thing that Optuna writes when it makes them."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return bool(connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one())


def _build_app(storage: RDBStorage, blobs_url: str) -> "WSGIApplication":
    app = optuna_dashboard.wsgi(storage, artifact_store=open_pictures(blobs_url))
    app.catchall = False  # Bottle would answer an error with a traceback; _guarded answers with a line
    api_log = logging.getLogger("optuna_dashboard._bottle_util")
    if _keep_first_line not in api_log.filters:
        api_log.addFilter(_keep_first_line)
    return _guarded(app, storage.engine)


def _keep_first_line(record: logging.LogRecord) -> bool:
    """Cut the tracebacks that the dashboard writes into its messages, for every request of a database outage."""
    error = sys.exc_info()[1]  # it logs where it catches
    line = _first_line(error) if isinstance(error, Exception) else record.getMessage().partition("\n")[0]
    record.msg, record.args = f"dashboard: {line}", ()
    return True


def _guarded(app: "WSGIApplication", engine: Engine) -> "WSGIApplication":
    """Return ``app`` with a health check, and with one line instead of a traceback where the surroundings fail."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            if environ["PATH_INFO"] == "/health":
                _ask(engine)
                return _plain(start_response, HTTPStatus.OK, "ok")
            return app(environ, start_response)
        except ArtifactNotFound as error:
            return _plain(start_response, HTTPStatus.NOT_FOUND, _first_line(error))
        except (SQLAlchemyError, StorageInternalError, SearchError) as error:
            print(f"dashboard: {environ['PATH_INFO']}: {_first_line(error)}", file=sys.stderr, flush=True)
            return _plain(start_response, HTTPStatus.SERVICE_UNAVAILABLE, "the database or the artifact store does not answer")

    return answer


def _ask(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def _plain(start_response: "StartResponse", status: HTTPStatus, body: str) -> Iterable[bytes]:
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{body}\n".encode()]


def _first_line(error: Exception) -> str:
    """Return our own error's line, else its cause's: Optuna hides the database's words behind advice of its own."""
    told = error if isinstance(error, SearchError | ArtifactNotFound) else error.__cause__ or error
    return str(told).partition("\n")[0]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a slow reader must not hold up the end
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[Any, ...], family: socket.AddressFamily) -> None:
        self.address_family = family
        super().__init__(address[:2], _QuietHandler)

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which takes long where there is no name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Write no line per request."""


def _listen(host: str, port: int) -> _Server:
    if not 0 <= port <= 65535:
        raise UserError(f"the dashboard's port must be in 0..65535, got {port}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return _Server(address, family)
    except OSError as error:
        raise UserError(_why_not(error, host, port)) from None
    except UnicodeError:  # what no name of a host can be, such as a label of 64 letters
        raise UserError(f"--host must be an address or the name of a host, got {host!r}") from None


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: end what uses it or choose another with --port"
    return f"the dashboard cannot listen on {host} port {port}: {error.strerror}"


def _announce(host: str, port: int, say: Callable[..., None] = print) -> None:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{shown}]" if ":" in shown else shown
    say(f"dashboard: http://{shown}:{port}/dashboard", flush=True)
    if not _is_loopback(host):
        say(f"dashboard: no login, and {host} is not this machine alone: whoever reaches it can delete studies", flush=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
