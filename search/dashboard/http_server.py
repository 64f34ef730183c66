"""A small HTTP server for one WSGI app, bounded in every way: threads, connections, bodies, and how
long it waits for a client.

It knows nothing of what it serves. It believes no header of a proxy.
"""

import errno
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

from objectives.errors import UserError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

THREADS = 8
MOST_CONNECTIONS = 200
PATIENCE_S = 30  # for the rest of a request, and for a client to fetch the next piece of its answer
_MOST_BODY_BYTES = 1024 * 1024
_BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address, IPv4 or IPv6, or on the first one of a name. Port
    0 takes a free one.

    Raises:
        UserError: The port or the address cannot be used.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"the dashboard's port must be in 0..65535, got {port}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(_why_not(error, host, port)) from None
    except UnicodeError:  # what no name of a host can be, such as a label of 64 letters
        raise UserError(f"--host must be an address or the name of a host, got {host!r}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(_why_not(error, host, port)) from None
    return listener


def build_server(
    app: "WSGIApplication", listener: socket.socket, error_headers: Sequence[tuple[str, str]]
) -> TcpWSGIServer:
    """Return a server whose ``run`` serves until SystemExit or KeyboardInterrupt is raised in it,
    and then returns.

    ``error_headers`` go with what the server itself answers to a request that it cannot read.
    """
    # that requests wait for a thread is no news
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    settings = Adjustments(
        threads=THREADS,
        connection_limit=2 * MOST_CONNECTIONS,  # the stalest are dropped long before
        channel_timeout=PATIENCE_S,
        cleanup_interval=PATIENCE_S // 6,
        max_request_body_size=_MOST_BODY_BYTES,
        max_request_header_size=64 * 1024,
        backlog=_BACKLOG,
        asyncore_use_poll=True,
        log_socket_errors=False,  # clients come and go
        ident=None,
        trusted_proxy=None,
        clear_untrusted_proxy_headers=True,
        expose_tracebacks=False,
    )
    where = (listener.family, listener.type, listener.proto, listener.getsockname())
    server = _Server(app, _sock=listener, bind_socket=False, sockinfo=where, adj=settings)
    server.error_headers = tuple(error_headers)
    return server


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        self.response_headers.extend(self.channel.server.error_headers)
        super().execute()


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    def parse_header(self, header_plus: bytes) -> None:
        """Refuse a request whose end a proxy before us may see elsewhere: it would take the rest
        for a part of this one.
        """
        super().parse_header(header_plus)
        if "TRANSFER_ENCODING" in self.headers or (
            self.chunked and "CONTENT_LENGTH" in self.headers
        ):
            raise ParsingError("a Transfer-Encoding where none may be")


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection on which only whole requests, and answers that are fetched, count as
    activity.
    """

    parser_class = _Parser
    error_task_class = _ErrorTask
    last_activity: float

    def handle_read(self) -> None:
        before = self.last_activity
        super().handle_read()
        # there is more to come: a byte now and then must not hold a connection for ever
        if self.request is not None:
            self.last_activity = before

    def write_soon(self, data: object) -> int:
        """Take a piece of an answer: from the first one on it is the client that is waited for, not
        before.
        """
        if not self.total_outbufs_len:
            self.last_activity = time.time()
        return int(super().write_soon(data))

    @property
    def waits_for_client(self) -> bool:
        return bool(not self.requests or self.total_outbufs_len)

    def drop(self) -> None:
        """Let the loop close it: also where nothing can be written, since a client that reads
        nothing takes nothing.
        """
        self.will_close = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel
    error_headers: tuple[tuple[str, str], ...] = ()

    def maintenance(self, now: float) -> None:
        """Drop the connections whose clients let us wait too long."""
        for channel in self._waiting():
            if channel.last_activity < now - PATIENCE_S:
                channel.drop()

    def handle_accept(self) -> None:
        """Accept a connection; when there are too many, the one that has let us wait longest makes
        room for it.
        """
        waiting = self._waiting()
        if len(self.active_channels) >= MOST_CONNECTIONS and waiting:
            min(waiting, key=lambda channel: channel.last_activity).drop()
        super().handle_accept()

    def _waiting(self) -> list[_Channel]:
        return [
            each
            for each in self.active_channels.values()
            if each.waits_for_client and not each.will_close
        ]


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: end what uses it or choose another with --port"
    return f"the dashboard cannot listen on {host} port {port}: {error.strerror}"
