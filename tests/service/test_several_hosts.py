"""The README's "Several hosts", by hand: its lines as they are written, but for what one machine
cannot have or would take too long.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.readme import lines_of
from tests.support.waiting import wait_for


def with_values(lines: list[str], values: dict[str, str]) -> list[str]:
    """The lines with other values, each of which stands in some of them."""
    for old, new in values.items():
        assert any(old in line for line in lines), f"the README has no {old!r} any more"
        lines = [line.replace(old, new) for line in lines]
    return lines


@pytest.mark.long
def test_the_lines_by_hand_lead_from_nothing_to_a_searched_study(
    search: Any, tmp_path: Path
) -> None:
    port = free_port()
    lines = with_values(
        lines_of("By hand"),
        {
            "/shared/search": str(tmp_path / "shared"),
            "--host login1": f"--host 127.0.0.1 --port {port}",
            "login1:5432": f"127.0.0.1:{port}",
            "--data frames --space mars --trials 200": "--data synthetic:40 --space tiny "
            "--trials 2 --set train.epochs=2",
        },
    )
    # as in an activated environment
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "search").write_text(f'#!/bin/sh\nexec {sys.executable} -m search "$@"\n')
    (binaries / "search").chmod(0o755)
    hosts = {**search.environment, "PATH": f"{binaries}:{search.environment['PATH']}"}

    serve, *rest = lines
    process = subprocess.Popen(
        ["bash", "-c", f"exec {serve}"], env=hosts, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        exports = [process.stdout.readline().rstrip("\n") for _ in range(2)]
        hidden = [re.sub(r"search:[\w-]+@", "search:PASSWORD@", line) for line in exports]
        assert hidden == rest[:2], "what is printed is what the README shows"
        worker = rest.index("search worker")
        shell = ["set -e", *exports, *rest[2:worker]]
        one = subprocess.run(
            ["bash", "-c", "\n".join(shell)], env=hosts, capture_output=True, text=True
        )
        assert one.returncode == 0, one.stderr
        assert "answers" in one.stdout
        # two more hosts, where nobody has a home with a study
        shell = [*exports, *(line for line in rest[2:worker] if line.startswith("export"))]
        workers = [
            subprocess.Popen(
                ["bash", "-c", "\n".join([*shell, "exec search worker --threads 1"])],
                env={**hosts, "SEARCH_HOME": str(tmp_path / f"host-{number}")},
            )
            for number in range(2)
        ]
        assert [each.wait(300) for each in workers] == [0, 0]
        told = "\n".join([*shell, "search status --json"])
        status = json.loads(subprocess.check_output(["bash", "-c", told], env=hosts, text=True))
        assert status["study"] == "rocks"
        assert status["budget"] == {"trials": 2, "spent": 2}
    finally:
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0
    wait_for(lambda: not (tmp_path / "shared" / "postgres" / "postmaster.pid").exists())


def test_the_lines_for_slurm_are_commands_of_ours_and_of_slurms(search: Any) -> None:
    slurm, sbatch = lines_of("Slurm")
    words, _, file = slurm.partition(" > ")
    assert sbatch == f"sbatch {file}"
    # the array itself runs in tests/slurm; here, up to where a cluster begins
    done = search(*words.split()[1:])
    assert done.returncode == 2
    assert "nodes do not reach the database of a home" in done.stderr
