"""A hub on this machine that has the weights of one encoder, for libraries that fetch from it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


@contextmanager
def hub_of(files: Mapping[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of a hub with these files by path, and the paths that it was asked for."""
    asked: list[str] = []

    class Answering(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(files.get(self.path, b""))

        def log_message(self, format: str, *args: object) -> None:
            asked.append(f"{self.command} {self.path}")

        def _answer(self, body: bytes) -> None:
            known = self.path in files
            self.send_response(200 if known else 404)
            if known:
                self.send_header("ETag", '"one"')
                self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(files.get(self.path, b""))))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
