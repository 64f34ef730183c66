"""A blob store that waits out an outage of the store behind it: training stands still, and nothing
is lost.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from objectives.errors import SearchError
from search.artifacts import BlobCorruptError, BlobMissingError, BlobStore
from search.waits import AGAIN, growing_waits

Result = TypeVar("Result")
BEAT_S = 1.0


class PatientBlobs:
    """Repeats every call until the store answers, with growing waits; ``note`` is called with each.

    ``beat`` is called every second of a wait and of a call itself, which S3 or a network's disk may
    hold for minutes: who waits for the store gets on.

    ``check`` raises StoreAwayError when the store answers and is another than it was: nothing is
    then read or put.

    Raises:
        BlobMissingError: The store lacks what is read, which waiting does not mend.
        BlobCorruptError: It holds other bytes, which waiting does not mend.
    """

    def __init__(
        self,
        blobs: BlobStore,
        note: Callable[[str], None],
        check: Callable[[], None],
        beat: Callable[[], None],
    ) -> None:
        self._blobs = blobs
        self._note = note
        self._check = check
        self._beat = beat

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its SHA-256."""
        return self._patiently(lambda: self._blobs.put(data))

    def read(self, sha: str) -> bytes:
        """Return the bytes whose SHA-256 is ``sha``."""
        return self._patiently(lambda: self._blobs.read(sha))

    def delete(self, sha: str) -> None:
        """Remove the blob."""
        self._patiently(lambda: self._blobs.delete(sha))

    def exists(self, sha: str) -> bool:
        """Return whether the blob is there."""
        return self._patiently(lambda: self._blobs.exists(sha))

    def _patiently(self, call: Callable[[], Result]) -> Result:
        with _beating(self._beat):
            for wait_s in growing_waits():
                try:
                    self._check()
                    return call()
                except (BlobMissingError, BlobCorruptError):
                    raise
                except SearchError as error:
                    self._note(f"waits for the artifact store: {error}{AGAIN} {wait_s:g} s")
                time.sleep(wait_s)
        raise AssertionError("the waits do not end")


@contextmanager
def _beating(beat: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(BEAT_S):
            beat()

    thread = threading.Thread(target=run, name="beats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
