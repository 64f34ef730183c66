"""The server's bounds, against clients that are slow, greedy or gone; a tiny app behind it."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from waitress import wasyncore

from objectives.errors import UserError
from search.dashboard import http_server
from search.dashboard.http_server import MOST_CONNECTIONS, THREADS, build_server, listen

LARGE = 30_000_000


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 1_000_000] * 30 if environ["PATH_INFO"] == "/large" else [b"well"]


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server that waits a second for its clients."""
    monkeypatch.setattr(http_server, "PATIENCE_S", 1)
    listener = listen("127.0.0.1", 0)
    server = build_server(app, listener, [("X-Ours", "yes")])
    thread = threading.Thread(target=server.run)
    thread.start()
    yield listener.getsockname()
    # first: a thread that ends later writes to the trigger's number, whosever it is by then
    server.task_dispatcher.shutdown()
    server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
    thread.join(10)
    assert not thread.is_alive()


def fetch(address: tuple[str, int]) -> bytes:
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/", timeout=10) as answer:
        return bytes(answer.read())


def closed_after_s(wire: socket.socket, *, dripping: bool) -> float:
    """Seconds until the server has closed a connection."""
    began = time.monotonic()
    wire.settimeout(0.2)
    while time.monotonic() - began < 20:
        with suppress(TimeoutError):
            try:
                if dripping:
                    wire.sendall(b"x")
                if not wire.recv(1):
                    break
            except (ConnectionResetError, BrokenPipeError):
                break
    return time.monotonic() - began


@pytest.mark.long
@pytest.mark.parametrize("dripping", [False, True])
@pytest.mark.parametrize(
    "half",
    [b"", b"GET / HTTP/1.1\r\nX-Slow: ", b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n"],
    ids=["nothing", "headers", "body"],
)
def test_a_client_that_never_ends_its_request_is_let_go(
    address: tuple[str, int], half: bytes, dripping: bool
) -> None:
    with socket.create_connection(address) as wire:
        wire.sendall(half)
        assert 0.7 < closed_after_s(wire, dripping=dripping) < 10


def test_half_sent_requests_make_room_for_others(address: tuple[str, int]) -> None:
    with ExitStack() as wires:
        for _ in range(MOST_CONNECTIONS + 50):
            wires.enter_context(socket.create_connection(address)).sendall(b"GET / HTTP/1.1\r\n")
        assert fetch(address) == b"well"


def test_answers_that_nobody_fetches_hold_no_thread(address: tuple[str, int]) -> None:
    with ExitStack() as wires:
        for _ in range(2 * THREADS):
            wires.enter_context(socket.create_connection(address)).sendall(
                b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
        assert fetch(address) == b"well"


def test_who_fetches_an_answer_slowly_gets_it_whole(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as wire:
        wire.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        heard = 0
        while piece := wire.recv(500_000):
            heard += len(piece)
            time.sleep(0.05)
    assert heard > LARGE


@pytest.mark.parametrize(
    "words",
    [
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /\r/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_request_is_answered_once_with_the_callers_headers(
    address: tuple[str, int], words: bytes
) -> None:
    with socket.create_connection(address, timeout=5) as wire:
        wire.sendall(words + b"GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n")
        heard = b""
        with suppress(ConnectionResetError):
            while piece := wire.recv(65536):
                heard += piece
    assert heard.split()[1][:1] in (b"4", b"5"), heard
    assert heard.count(b"HTTP/1.") == 1
    assert b"X-Ours: yes" in heard
    assert b"Server:" not in heard
    assert b"waitress" not in heard


def test_ipv6_is_listened_on(address: tuple[str, int]) -> None:
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
        assert listener.getsockname()[1] > 0


def test_why_it_cannot_listen_is_one_line(address: tuple[str, int]) -> None:
    for host, port, why in (
        ("127.0.0.1", address[1], "is in use: end what uses it"),
        ("192.0.2.1", 0, "cannot listen on 192.0.2.1 port 0"),
        ("no host", 0, "cannot listen on no host"),
        ("a" * 70, 0, "--host must be an address"),
        ("127.0.0.1", 70000, "must be in 0..65535"),
    ):
        with pytest.raises(UserError, match=why) as caught:
            listen(host, port)
        assert "\n" not in str(caught.value)
