"""Locks by which the workers of a host see each other on its GPUs, also those of another database
or user.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from search.machine import gpu_locks
from search.machine.gpu_locks import gate, hold, release, workers_on

HOLD = "import sys, time; from pathlib import Path; from search.machine import gpu_locks; "
HOLD += "gpu_locks.FOLDERS = (Path(sys.argv[1]),); "
STAY = "print('here', flush=True); time.sleep(60)"
NOBODY = 65534


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(gpu_locks, "FOLDERS", (tmp_path / "absent", tmp_path))
    yield tmp_path
    for worker in list(gpu_locks._held):
        release(worker)


def another(locks: Path, code: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD + code + STAY, locks], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_workers_are_counted_until_they_leave() -> None:
    for worker in ("one", "two", "one"):  # who holds again holds once
        hold("GPU-a", worker)
    hold("MIG-GPU-a/1/0", "three")
    assert [workers_on(gpu) for gpu in ("GPU-a", "MIG-GPU-a/1/0", "GPU-b")] == [2, 1, 0]
    release("one")
    release("one")
    assert workers_on("GPU-a") == 1
    hold("GPU-a", "four")
    assert workers_on("GPU-a") == 2


def test_a_worker_that_was_killed_holds_nothing(locks: Path) -> None:
    process = another(locks, "gpu_locks.hold('GPU-a', 'theirs'); ")
    hold("GPU-a", "ours")
    assert workers_on("GPU-a") == 2
    end(process)
    assert workers_on("GPU-a") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")
@pytest.mark.parametrize("ours_first", [True, False])
def test_workers_of_other_users_are_counted_whatever_their_mask(
    locks: Path, ours_first: bool, tmp_path: Path
) -> None:
    for folder in tmp_path.parents:  # the way to the folder, closed to others by pytest
        if folder.owner() == "root" and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    if ours_first:
        hold("GPU-a", "ours")
    process = another(
        locks,
        f"import os; os.umask(0o077); os.setuid({NOBODY}); gpu_locks.hold('GPU-a', 'theirs'); ",
    )
    if not ours_first:
        hold("GPU-a", "ours")
    assert workers_on("GPU-a") == 2
    end(process)
    assert workers_on("GPU-a") == 1


def test_one_worker_chooses_at_a_time() -> None:
    """Each takes what it has seen to be the least, as the roster does: without the gate two see the
    same.
    """

    def choose(worker: str) -> None:
        with gate():
            load = workers_on("GPU-a"), workers_on("GPU-b")
            time.sleep(0.02)
            hold("GPU-a" if load[0] <= load[1] else "GPU-b", worker)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(choose, map(str, range(8))))
    assert (workers_on("GPU-a"), workers_on("GPU-b")) == (4, 4)


def test_one_that_is_frozen_at_the_gate_stops_nobody_for_long(
    locks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_locks, "GATE_S", 0.2)
    process = another(locks, "gate = gpu_locks.gate(); gate.__enter__(); ")
    start = time.monotonic()
    with gate():
        waited_s = time.monotonic() - start
    assert 0.2 <= waited_s < 5.0
    end(process)


def test_without_a_folder_that_all_share_nothing_is_locked_and_nothing_fails(locks: Path) -> None:
    locks.chmod(0o700)
    with gate():
        hold("GPU-a", "ours")
        assert workers_on("GPU-a") == 0
    assert not list(locks.iterdir())


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_what_others_plant_in_the_folder_neither_blocks_nor_is_followed(
    locks: Path, planted: str
) -> None:
    target = locks / "target"
    target.touch()
    for path in (locks / "search-gpus", locks / "search-gpu-GPU-a-0"):
        match planted:
            case "link":
                path.symlink_to(target)
            case "pipe":
                os.mkfifo(path)
            case _:
                path.mkdir()
    with gate():
        hold("GPU-a", "ours")
    assert workers_on("GPU-a") == 1
