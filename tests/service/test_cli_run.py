"""``search run`` on the embedded database of a home: stopped, gone on with, and with a worker that
dies.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from objectives.data.reading.synthetic import write_npz
from search.database.embedded import embedded_postgres
from search.study.stored import open_study
from search.study.trial_lines import read_trials
from tests.support.waiting import wait_for


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    assert process.poll() is None, process.communicate()
    return [
        child for child in psutil.Process(process.pid).children() if "worker" in words_of(child)
    ]


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # it has just ended
        return []


@pytest.mark.long
def test_a_stopped_run_gives_its_trials_back_and_the_same_command_goes_on(
    search: Any, tmp_path: Path
) -> None:
    home, data, moved = tmp_path / "home", tmp_path / "frames.npz", tmp_path / "moved.npz"
    write_npz(data, 40)
    words = ["--study", "long", "--home", home]
    command = [
        "run",
        *words,
        "--space",
        "tiny",
        "--trials",
        "1",
        "--set",
        "train.epochs=500",
        "--device",
        "cpu",
        "--data",
    ]

    def status() -> Any:
        return json.loads(search("status", *words, "--json").stdout)

    run = search.start(*command, data)
    wait_for(lambda: run.poll() is not None or (home / "postgres" / "postmaster.pid").exists())
    wait_for(lambda: workers_of(run))
    with embedded_postgres(home) as url:  # while the run has it, too
        study = open_study(url, "long")
        first = wait_for(lambda: read_trials(study) and read_trials(study)[0].epochs)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        output, errors = run.communicate(timeout=60)
        assert run.returncode == 130, errors
        assert (
            errors
            == "search: stopped; 1 trial(s) interrupted; the same command goes on where it stood\n"
        )
        study.close()
    assert not (home / "postgres" / "postmaster.pid").exists()
    counts = status()["trials"]
    assert counts.pop("interrupted") == 1
    assert not any(counts.values())

    # equal data: the study is the same, and its workers find it where it lies now
    data.rename(moved)
    run = search.start(*command, moved)
    wait_for(lambda: workers_of(run))
    with embedded_postgres(home) as url:
        study = open_study(url, "long")
        wait_for(lambda: read_trials(study)[0].epochs > first)
        run.terminate()
        output, errors = run.communicate(timeout=60)
        assert run.returncode == 143, errors
        assert "with equal settings" in output
        study.close()
    assert status()["budget"] == {"trials": 1, "spent": 1}
    assert status()["trials"]["interrupted"] == 1

    run = search.start(*command, moved)
    wait_for(lambda: workers_of(run))[0].kill()
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert errors.startswith("search: 1 of 1 workers failed")
    assert len(errors.splitlines()) == 1
    assert not (home / "postgres" / "postmaster.pid").exists()


@pytest.mark.long
def test_the_workers_and_the_database_of_a_killed_run_end_with_it(
    search: Any, tmp_path: Path
) -> None:
    words = ["--study", "long", "--home", tmp_path]
    command = [
        "run",
        *words,
        "--data",
        "synthetic:40",
        "--space",
        "tiny",
        "--trials",
        "1",
        "--set",
        "train.epochs=500",
    ]
    run = search.start(*command, "--device", "cpu")
    workers = wait_for(lambda: workers_of(run))
    pid_file = tmp_path / "postgres" / "postmaster.pid"
    server = psutil.Process(int(pid_file.read_text().partition("\n")[0]))
    with embedded_postgres(tmp_path) as url:
        study = open_study(url, "long")
        wait_for(lambda: read_trials(study) and read_trials(study)[0].epochs)
        study.close()
    run.kill()
    run.communicate()
    _, alive = psutil.wait_procs([*workers, server], timeout=20)
    assert not alive
    assert not pid_file.exists()
    counts = json.loads(search("status", *words, "--json").stdout)["trials"]
    assert counts["interrupted"] == 1  # given back, not left to its lease


@pytest.mark.long
def test_commands_find_the_embedded_study_without_a_storage(search: Any, tmp_path: Path) -> None:
    words = ["--study", "mine", "--home", tmp_path]
    made = search(
        "init",
        *words,
        "--data",
        "synthetic:40",
        "--space",
        "tiny",
        "--trials",
        "1",
        "--set",
        "train.epochs=1",
    )
    assert made.returncode == 0, made.stderr
    worked = search("worker", *words, "--device", "cpu")
    assert worked.returncode == 0, worked.stderr
    status = search("status", *words, "--json")
    assert json.loads(status.stdout)["trials"]["complete"] == 1
    exported = search("export-best", *words, "--out", tmp_path / "out", "--no-test")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "out" / "SHA256SUMS").exists()
    dashboard = search.start("dashboard", "--home", tmp_path, "--port", "0")
    assert dashboard.stdout.readline().startswith("dashboard: http://127.0.0.1:")
    dashboard.terminate()
    dashboard.communicate(timeout=60)
    assert dashboard.returncode == 0
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_a_killed_process_does_not_keep_the_embedded_database_alive(tmp_path: Path) -> None:
    import sys

    hold = (
        "import sys, time; from pathlib import Path; from search.database.embedded import "
        "embedded_postgres\n"
    )
    hold += "with embedded_postgres(Path(sys.argv[1])): print('up', flush=True); time.sleep(600)"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "up\n"
    holder.kill()
    holder.communicate()
    with embedded_postgres(tmp_path):
        assert (tmp_path / "postgres" / "postmaster.pid").exists()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_a_run_without_the_gpu_it_asks_for_ends_before_it_begins(
    search: Any, tmp_path: Path
) -> None:
    done = search("run", "--device", "cuda", "--home", tmp_path / "home")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("extra", [[], ["--json"]], ids=["people", "json"])
def test_doctor_looks_and_makes_nothing(extra: list[str], search: Any, tmp_path: Path) -> None:
    done = search("doctor", "--home", tmp_path / "home", *extra)
    assert done.returncode in (0, 1)  # this machine may lack room
    assert not done.stderr
    assert not (tmp_path / "home").exists()
    if extra:
        findings = json.loads(done.stdout)
        assert {"cores", "memory", "gpus", "database", "artifacts", "cache"} <= set(findings)
        assert set(findings["database"]) == {"good", "found"}


def test_files_in_the_callers_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("queue", "h2", "statistics"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    command = [Path(sys.executable).with_name("search"), "run", "--study=own", "--home=home"]
    command += ["--data=synthetic:40", "--space=tiny", "--trials=1", "--device=cpu"]
    command += ["--set=train.epochs=1", "--set=train.steps_per_epoch=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "trial 0 (control) complete" in done.stdout
    assert "trying again" not in done.stdout + done.stderr
