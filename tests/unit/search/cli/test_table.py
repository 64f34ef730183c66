"""The table of commands says what the commands say, and what is typed reaches what is done."""

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.cli import commands
from search.cli.app import COMMANDS, answer, app
from search.cli.table import Entry


def entries(table: Mapping[str, Entry]) -> Iterator[Entry]:
    """Every command of a table, those of its groups too."""
    for entry in table.values():
        yield from entries(entry.commands) if entry.commands else [entry]


ALL = list(entries(COMMANDS))
every_command = pytest.mark.parametrize(
    "entry", ALL, ids=lambda entry: entry.module.rpartition(".")[2]
)


def test_every_file_of_commands_is_in_the_table() -> None:
    files = {
        f"{commands.__name__}.{file.stem}" for file in Path(commands.__path__[0]).glob("[a-z]*.py")
    }
    assert {entry.module for entry in ALL} == files
    assert len(ALL) == len(files)


@every_command
def test_a_line_is_the_first_one_of_the_commands_help(entry: Entry) -> None:
    help_text = inspect.getdoc(import_module(entry.module).command)
    assert help_text
    assert entry.line == " ".join(help_text.partition("\n\n")[0].split())


DECLARING = [entry for entry in ALL if hasattr(import_module(entry.module).command, "action")]


@pytest.mark.parametrize("entry", DECLARING, ids=lambda entry: entry.module.rpartition(".")[2])
def test_what_a_command_declares_is_what_its_action_takes(entry: Entry) -> None:
    declared = import_module(entry.module).command
    module, _, name = declared.action.rpartition(".")
    wanted = inspect.signature(inspect.unwrap(declared)).parameters
    taken = inspect.signature(getattr(import_module(module), name)).parameters
    assert set(wanted) == set(taken)
    assert all(each.default is inspect.Parameter.empty for each in taken.values()), (
        "defaults stand with the options alone"
    )


def test_a_misspelt_command_is_answered_with_one_that_is_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert answer(["statu"]) == 2
    assert "No such command 'statu'. Did you mean 'status'?" in " ".join(
        capsys.readouterr().err.split()
    )
    assert answer(["recipes", "lst"]) == 2
    assert "Did you mean 'list'?" in " ".join(capsys.readouterr().err.split())
    assert CliRunner().invoke(app, ["nothing"]).exit_code == 2
