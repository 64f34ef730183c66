"""Who waits for the artifact store gets on: between two calls, and in a call that does not come
back.
"""

import hashlib
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from search.artifacts import open_blobs
from search.process.patient_blobs import PatientBlobs

BLOB = b"weights"
SHA = hashlib.sha256(BLOB).hexdigest()
LONGEST_S = 5.0  # without a beat, and so the least that `--hang` takes


def longest_silence(root: Path, call: Callable[[PatientBlobs], Any]) -> tuple[float, float]:
    """For how long a call was silent at most, and how long it took."""
    beats = [time.monotonic()]
    call(
        PatientBlobs(
            open_blobs(str(root)),
            lambda text: None,
            lambda: None,
            lambda: beats.append(time.monotonic()),
        )
    )
    beats.append(time.monotonic())
    return max(late - early for early, late in pairwise(beats)), beats[-1] - beats[0]


@pytest.mark.long
def test_a_store_that_is_away_is_waited_for_with_beats(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.write_text("no folder")
    Timer(7.0, blobs.unlink).start()
    silent_s, took_s = longest_silence(tmp_path, lambda store: store.put(BLOB))
    assert took_s > 7.0
    assert silent_s < LONGEST_S / 2
    assert open_blobs(str(tmp_path)).read(SHA) == BLOB


@pytest.mark.long
def test_a_call_that_does_not_come_back_beats(tmp_path: Path) -> None:
    file = tmp_path / "blobs" / SHA[:2] / SHA[2:]
    file.parent.mkdir(parents=True)
    os.mkfifo(file)  # who opens it waits for a writer, as for a network's disk
    Timer(6.0, file.write_bytes, (BLOB,)).start()
    silent_s, took_s = longest_silence(tmp_path, lambda store: store.read(SHA))
    assert took_s > 5.0
    assert silent_s < LONGEST_S / 2


def test_nothing_beats_after_a_call(tmp_path: Path) -> None:
    beats: list[int] = []
    store = PatientBlobs(
        open_blobs(str(tmp_path)), lambda text: None, lambda: None, lambda: beats.append(1)
    )
    store.put(BLOB)
    time.sleep(2.5)
    assert not beats
