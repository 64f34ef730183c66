"""``--help``: every command has one with an example, and the first one costs next to nothing."""

import subprocess
import sys
from typing import Any

import pytest

COMMANDS = (
    *(["init"], ["worker"], ["run"], ["status"], ["export-best"], ["predict"], ["evaluate"], ["demo"], ["dashboard"]),
    *(["doctor"], ["data", "check"], ["data", "preview"], ["space", "show"], ["space", "check"]),
    *(["recipes", "list"], ["recipes", "show"], ["recipes", "run"]),
    *(["gc"], ["migrate"]),
    *(["report"],),
)
HEAVY = ("torch", "optuna", "sqlalchemy", "numpy", "pydantic", "rich", "albumentations", "boto3")

LISTED = """
import sys
from search.main import answer
try:
    answer({words!r})
finally:
    print(*sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    program = LISTED.format(words=["--help"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "Usage: search" in done.stdout
    assert not set(HEAVY) & set(done.stderr.split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    program = LISTED.format(words=[*words, "--help"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    example = done.stdout.split("Example:")[1]
    assert example.lstrip().startswith(f"search {' '.join(words)}")
    assert not {"torch", "optuna"} & set(done.stderr.split())


def test_help_lists_every_command(search: Any) -> None:
    done = search("--help")
    assert done.returncode == 0
    assert not done.stderr
    listed = {line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.startswith("  ")}
    assert {words[0] for words in COMMANDS} <= listed


def test_no_words_show_what_there_is(search: Any) -> None:
    done = search()
    assert done.returncode == 2
    assert "Commands:" in done.stderr
