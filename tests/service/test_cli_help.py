"""``--help``: every command has one with an example, and the first one costs next to nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from search.cli.app import app


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The words of every command."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*words, name))
        else:
            yield [*words, name]


COMMANDS = list(commands(typer.main.get_command(app)))
HEAVY = ("torch", "optuna", "sqlalchemy", "numpy", "pydantic", "rich", "albumentations", "boto3")

LISTED = """
import sys
from search.cli.app import answer
try:
    answer({words!r})
finally:
    print(*sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    program = LISTED.format(words=["--help"])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert "Usage: search" in done.stdout
    assert not set(HEAVY) & set(done.stderr.split())


def test_a_look_at_a_study_imports_little() -> None:
    words = ["status", "--storage", "postgresql://postgres@127.0.0.1:1/nobody"]
    done = subprocess.run(
        [sys.executable, "-c", LISTED.format(words=words)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "cannot be used" in done.stderr
    assert "sqlalchemy" in done.stderr.split()
    assert not {"torch", "optuna", "numpy", "yaml"} & set(done.stderr.split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    program = LISTED.format(words=[*words, "--help"])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    example = done.stdout.split("Example:")[1]
    assert example.lstrip().startswith(f"search {' '.join(words)}")
    assert not {"torch", "optuna"} & set(done.stderr.split())


def test_help_lists_every_command(search: Any) -> None:
    done = search("--help")
    assert done.returncode == 0
    assert not done.stderr
    listed = {
        line.split()[0]
        for line in done.stdout.partition("Commands:")[2].splitlines()
        if line.startswith("  ")
    }
    assert {words[0] for words in COMMANDS} <= listed


def test_no_words_show_what_there_is(search: Any) -> None:
    done = search()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


# as in a terminal, whatever this process has been told to ignore
STARTED = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("search", run_name="__main__")
"""


def test_ctrl_c_during_the_imports_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", STARTED]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == -signal.SIGINT
