"""Several processes that open one data set at once."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, time
from pathlib import Path
from objectives.data import dataset
builds = []
real = dataset.build
def counted(*arguments):
    builds.append(1)
    real(*arguments)
dataset.build = counted
print("ready", flush=True)
sys.stdin.readline()
opened = dataset.open_dataset("synthetic:60", dataset.DataOptions(), Path(sys.argv[1]))
print(len(builds), opened.fingerprint, int(opened.images[-1].sum()))
"""


def test_four_processes_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "cache")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0].split() for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sum(int(answer[0]) for answer in answers) == 1
    assert len({tuple(answer[1:]) for answer in answers}) == 1
    assert [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")] == []


def test_a_killed_builder_leaves_room_for_the_next(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from objectives.data.preparing import build
from objectives.data import dataset
build._index = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
dataset.open_dataset("synthetic:24", dataset.DataOptions(), Path(sys.argv[1]))
"""
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert any(path.name.startswith(".") for path in tmp_path.iterdir())
    follower = "import sys; from pathlib import Path; from objectives.data.dataset import *;"
    follower += "print(len(open_dataset('synthetic:24', DataOptions(), Path(sys.argv[1])).names))"
    followed = subprocess.run(
        [sys.executable, "-c", follower, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert followed.stdout == "23\n"
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from objectives.data.dataset import *
from objectives.errors import WorldError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    open_dataset("synthetic:40", DataOptions(), Path(sys.argv[1]))
except WorldError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert ended.stdout.startswith("cannot write the prepared data to")
    assert [path.suffix for path in tmp_path.iterdir()] in ([], [".lock"])
