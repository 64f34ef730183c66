"""The printed script: what a user's values become in it, what is refused, and how it treats its
worker, without any Slurm.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from objectives.errors import UserError
from search.engines.slurm import RULES, worker_script
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[4]
SHIPPED = ROOT / "deploy" / "slurm" / "worker.sbatch"
USUAL = {"--array": "0-7", "--cpus-per-task": "4", "--gres": "gpu:1", "--time": "24:00:00"}


def options_of(script: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH (--[a-z-]+)=(.*)$", script, re.MULTILINE))


def test_the_script_that_ships_is_the_one_that_is_printed() -> None:
    shipped = SHIPPED.read_text()
    printed = worker_script("search", "default", "cuda", USUAL)
    changed = [
        (before, after)
        for before, after in zip(shipped.splitlines(), printed.splitlines(), strict=True)
        if before != after
    ]
    assert changed == [
        ('export SEARCH_STUDY="${SEARCH_STUDY:-default}"', "export SEARCH_STUDY=default"),
        ('export SEARCH_DEVICE="${SEARCH_DEVICE:-cuda}"', "export SEARCH_DEVICE=cuda"),
    ]


def test_values_stand_where_slurm_reads_them() -> None:
    options = {
        "--array": "0-2",
        "--cpus-per-task": "16",
        "--gres": "gpu:a100:1,scratch:10G",
        "--time": "2-0",
        "--mem": "64G",
        "--partition": "spot,gpu-short",
        "--account": "ml.team",
    }
    script = worker_script("/opt/bin/search", "rocks", "cuda:0", options)
    assert options.items() <= options_of(script).items()
    # after its first command sbatch reads no further option
    assert script.index("#SBATCH --account=") < script.index("program=")
    without = options_of(worker_script("search", "rocks", "cpu", {"--gres": "", "--mem": ""}))
    assert not {"--gres", "--mem"} & set(without)


@pytest.mark.parametrize("study", ["rocks", "it's", "$(touch gone)", "a b;c", '"', "`x`", "ä"])
def test_a_study_of_any_name_is_one_word(study: str, tmp_path: Path) -> None:
    script = worker_script(str(ROOT / "no such/search"), study, "cpu", USUAL)
    head = script.partition("leave_code=")[0] + 'printf "%s\\n%s" "$SEARCH_STUDY" "$program"'
    said = subprocess.run(["bash", "-c", head], capture_output=True, text=True, cwd=tmp_path)
    assert (said.stdout, said.stderr) == (f"{study}\n{ROOT}/no such/search", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--gres", "gpu:1\n#SBATCH --uid=0"),
        ("--gres", "gpu:1\ntouch gone"),
        ("--gres", "gpu:1\n"),
        ("--gres", "gpu:1 --uid=0"),
        ("--gres", "gpu:$(touch gone)"),
        ("--gres", "gpu:1;touch gone"),
        ("--gres", "gpu:١"),
        ("--gres", ":1"),
        ("--gres", ","),
        ("--time", "soon"),
        ("--time", "1:2:3:4"),
        ("--mem", "lots"),
        ("--mem", "-1"),
        ("--partition", "a b"),
        ("--partition", "-p"),
        ("--account", "a\nb"),
        ("--array", "0--1"),
    ],
)
def test_what_is_no_value_of_slurms_is_refused_in_one_line(option: str, value: str) -> None:
    with pytest.raises(UserError) as raised:
        worker_script("search", "rocks", "cuda", {option: value})
    assert str(raised.value) == f"{option} must be {RULES[option][1]}, got {value!r}"


@pytest.mark.parametrize(
    "value", ["30", "90:00", "8:00:00", "2-0", "2-12", "1-12:30", "1-12:30:05"]
)
def test_every_form_of_a_time_is_taken(value: str) -> None:
    assert (
        options_of(worker_script("search", "rocks", "cuda", {"--time": value}))["--time"] == value
    )


@pytest.mark.parametrize("name", ["bash", "shellcheck"])
def test_the_script_is_sound(name: str, tmp_path: Path) -> None:
    if not shutil.which(name):
        pytest.skip(f"{name} is missing")
    written = tmp_path / "worker.sbatch"
    written.write_text(worker_script("/a b/search", "it's", "cuda", {"--mem": "4G"}))
    for script in (SHIPPED, written):
        check = [name, *(["-n"] if name == "bash" else []), script]
        done = subprocess.run(check, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


WORKER = """#!/bin/bash
echo "worker $*" >> said
trap 'echo told >> said; {on_term}' TERM
touch begun
for _ in {{1..200}}; do sleep 0.05; [ ! -e end ] || exit "$(cat end)"; done
"""
SLURM = """#!/bin/bash
echo "$(basename "$0") $*" >> said
[ "$(basename "$0")" != squeue ] || echo {state}
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start the script with a worker that does what is asked, and a Slurm that writes down what it
    is asked.
    """

    def begin(
        on_term: str = "exit 75", state: str = "RUNNING", **settings: str
    ) -> subprocess.Popen[bytes]:
        for name, content in (
            ("worker", WORKER.format(on_term=on_term)),
            ("squeue", SLURM.format(state=state)),
            ("scontrol", SLURM.format(state=state)),
        ):
            (tmp_path / name).write_text(content)
            (tmp_path / name).chmod(0o755)
        script = tmp_path / "worker.sbatch"
        script.write_text(worker_script(str(tmp_path / "worker"), "rocks", "cpu", USUAL))
        place = {"SEARCH_STORAGE": "postgresql://x", "SEARCH_ARTIFACTS": "/x"}
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "12"}
        return subprocess.Popen(
            ["bash", script, "--drain"], cwd=tmp_path, env=os.environ | place | path | settings
        )

    return begin


def said(folder: Path) -> list[str]:
    return (folder / "said").read_text().splitlines()


BEGUN = "worker worker --leave-code 75 --drain"
STATE = "squeue --noheader --jobs 12 --format %T"


@pytest.mark.long
def test_a_worker_that_was_told_to_leave_brings_its_task_back(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    script = start()
    wait_for((tmp_path / "begun").exists)
    script.send_signal(signal.SIGTERM)  # as --signal=B: does
    assert script.wait(30) == 75
    assert said(tmp_path) == [BEGUN, "told", STATE, "scontrol requeue 12"]


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_a_worker_that_ends_by_itself_ends_its_task(
    code: int, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    script = start()
    wait_for((tmp_path / "begun").exists)
    (tmp_path / "end").write_text(str(code))
    assert script.wait(30) == code
    assert said(tmp_path) == [BEGUN]


def test_a_worker_whom_slurm_tells_as_well_is_told_once(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    script = start(on_term="sleep 1; exit 75")
    wait_for((tmp_path / "begun").exists)
    (worker,) = Path(f"/proc/{script.pid}/task/{script.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGTERM)
    script.send_signal(signal.SIGTERM)
    assert script.wait(30) == 75
    assert said(tmp_path) == [BEGUN, "told", STATE, "scontrol requeue 12"]


@pytest.mark.long
@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", ""])
def test_a_task_that_no_longer_runs_does_not_come_back(
    state: str, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    script = start(state=state)
    wait_for((tmp_path / "begun").exists)
    script.send_signal(signal.SIGTERM)
    assert script.wait(30) == 75
    assert said(tmp_path) == [BEGUN, "told", STATE]


@pytest.mark.parametrize("name", ["SEARCH_STORAGE", "SEARCH_ARTIFACTS"])
def test_without_a_database_or_a_store_no_worker_begins(
    name: str, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert start(**{name: ""}).wait(30) == 2
    assert not (tmp_path / "said").exists()
