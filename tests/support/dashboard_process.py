"""The dashboard as a process of its own, and requests to it as a browser, a script and a stranger
send them.
"""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what runs in the background, tests say
from search.dashboard.app import open_tables, serve
from search.dashboard.gate import parse_names
from objectives.errors import SearchError

database, blobs, host, port, *names = sys.argv[1:]
try:
    serve(open_tables(database, 60.0), blobs, host, int(port), parse_names(names))
except SearchError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@contextmanager
def dashboard(
    database: str,
    blobs: Path,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVE, database, str(blobs), host, str(port), *names]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str], shown: str = "127.0.0.1") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"dashboard: http://{shown}:"), line
    return line.removeprefix("dashboard: ").strip().removesuffix("/dashboard")


def end(process: subprocess.Popen[str]) -> tuple[float, str]:
    """Send SIGTERM; return the seconds until exit code 0, and what was said on stderr."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    return time.monotonic() - began, said


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Message

    @property
    def reason(self) -> str:
        """Why something was refused, where the dashboard's page looks for it."""
        (line,) = self.body.decode().splitlines()
        return str(json.loads(line)["reason"])


def ask(
    url: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Ask as a script does, and follow no redirect; a body is sent as JSON unless it is bytes."""
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    kind = {} if content is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, content, kind | dict(headers or {}), method=method)
    try:
        with _OPENER.open(request, timeout=20) as answer:
            return Answer(answer.status, answer.read(), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), error.headers)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def send(url: str, words: bytes, wait_s: float = 5.0) -> bytes:
    """Send bytes as they are; return all that comes back until the server closes, or says nothing
    for so long.
    """
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=wait_s) as wire:
        wire.sendall(words)
        heard = b""
        try:
            while piece := wire.recv(65536):
                heard += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return heard
