"""Large files: the disk is given them while they grow, and what goes wrong there is told."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from objectives.data.preparing import steady_file
from objectives.data.preparing.steady_file import SteadyFile, read_back

PART = np.arange(1000, dtype=np.uint8)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady_file, "STEP", 3000)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with SteadyFile(path) as file:
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
    with SteadyFile(path) as file:
        file.go_on_from(4)
        file.write(np.frombuffer(b"!", np.uint8))
    assert path.read_bytes() == b"kept!"
    with SteadyFile(path) as file:
        file.go_on_from(7)
    assert path.read_bytes() == b"kept!\0\0"


def test_little_of_it_stays_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with SteadyFile(path) as file:
        for _ in range(4000):
            file.write(PART)
            file._wait()
        file.settle()
    assert _resident(path) < 0.1


def _resident(path: Path) -> float:
    """Return the share of a file that the system holds in memory, by ``fincore``."""
    asked = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    return int(told) / path.stat().st_size


def test_a_disk_that_cannot_take_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: int, end: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(steady_file, "_give", fail)
    with SteadyFile(tmp_path / "file") as file:
        for _ in range(3):
            file.write(PART)
        with pytest.raises(OSError, match="No space left"):
            file.settle()
        file.write(PART)
        file.write(PART)
        with pytest.raises(OSError, match="No space left"):
            file.write(PART)  # the next step


def test_a_file_that_was_cut_is_no_shorter_frame(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with pytest.raises(OSError, match="ends before"):
        list(read_back(path, [(0, 10)]))
