"""Large files: the disk is given them while they grow, and what goes wrong there is told."""

import errno
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from objectives.data.preparing import streamed_file
from objectives.data.preparing.streamed_file import StreamedFile, read_back

PART = np.arange(1000, dtype=np.uint8)
STEP = 3000


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_file, "STEP_BYTES", STEP)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with StreamedFile(path) as file:
        for _ in range(20):
            file.write(PART)
        file.settle()
        assert file.length == path.stat().st_size == 20_000
    places = [(0, 10), (5000, 5999), (19_990, 20_000)]
    parts = list(read_back(path, places))
    assert [part.tolist() for part in parts] == [
        PART[:10].tolist(),
        PART[:999].tolist(),
        PART[-10:].tolist(),
    ]


def test_it_goes_on_from_where_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"kept and cut")
    with StreamedFile(path) as file:
        file.go_on_from(4)
        file.write(b"!")
    assert path.read_bytes() == b"kept!"
    with StreamedFile(path) as file:
        file.go_on_from(7)
    assert path.read_bytes() == b"kept!\0\0"


def test_nothing_of_it_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_file, "STEP_BYTES", 2**18)
    content = np.zeros(2**16, np.uint8)
    (tmp_path / "other").write_bytes(content.data)
    with (tmp_path / "other").open("rb") as other:
        os.fdatasync(other.fileno())
        os.posix_fadvise(other.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if not shutil.which("fincore") or _in_memory(tmp_path / "other"):
        pytest.skip("nobody tells what is in memory, or the file system is memory (tmpfs)")
    with StreamedFile(tmp_path / "file") as file:
        for _ in range(70):
            file.write(content)
        file.settle()
    assert _in_memory(tmp_path / "file") == 0
    assert [len(part) for part in read_back(tmp_path / "file", [(0, 70 * 2**16)])] == [70 * 2**16]
    assert _in_memory(tmp_path / "file") == 0


def _in_memory(path: Path) -> int:
    """Return how many bytes of a file the system holds in memory."""
    asked = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def test_little_waits_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    given: list[int] = []

    def slow(_: int, end: int) -> None:
        free.wait()
        given.append(end)

    monkeypatch.setattr(streamed_file, "_give", slow)
    with StreamedFile(tmp_path / "file") as file:
        writer = threading.Thread(target=lambda: [file.write(PART) for _ in range(100)])
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert file.length == STEP + streamed_file.MOST_STEPS * STEP
        free.set()
        writer.join()
    assert given[:2] == [STEP, STEP + streamed_file.MOST_STEPS * STEP]


@pytest.fixture
def _broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int, end: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(streamed_file, "_give", fail)


@pytest.mark.usefixtures("_broken")
def test_a_disk_that_cannot_take_it_is_told_by_the_next_step(tmp_path: Path) -> None:
    file = StreamedFile(tmp_path / "file")
    for _ in range(5):
        file.write(PART)
    with pytest.raises(OSError, match="No space left"):
        file.write(PART)
    with pytest.raises(OSError, match="No space left"):
        file.settle()
    with pytest.raises(OSError, match="No space left"), file:
        pass  # at the end again
    with pytest.raises(KeyError), file:  # what goes wrong inside is told first
        raise KeyError


def test_a_file_that_was_cut_is_no_shorter_frame(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with pytest.raises(OSError, match="ends before"):
        list(read_back(path, [(0, 10)]))


def test_advice_that_is_not_taken_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    with StreamedFile(tmp_path / "file") as file:
        for _ in range(20):
            file.write(PART)
        file.settle()
    assert [len(part) for part in read_back(tmp_path / "file", [(0, 20_000)])] == [20_000]
