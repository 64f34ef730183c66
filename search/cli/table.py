"""Commands found by a table: help lists them without importing one, and only the one that is called
is imported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


@dataclass(frozen=True)
class Entry:
    """A command's line in a list, and the module that declares it as ``command``; or a group of
    commands.
    """

    line: str
    module: str = ""
    commands: "Mapping[str, Entry]" = field(default_factory=dict)


class Commands(Mapping[str, Any]):
    """The commands of a table by name, each imported when it is asked for."""

    def __init__(self, table: Mapping[str, Entry]) -> None:
        self.table = table

    def __getitem__(self, name: str) -> Any:
        entry = self.table[name]
        if entry.commands:
            return typer.main.get_command(group(name, entry.line, entry.commands))
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        alone.command(name)(import_module(entry.module).command)
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)


class CommandTable(TyperGroup):
    """A group whose commands are those of a table."""

    table: ClassVar[Mapping[str, Entry]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands(self.table)  # type: ignore[assignment]  # which nobody changes

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table, whose lines are not asked of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self.table.items()])


def group(name: str, line: str, entries: Mapping[str, Entry], **settings: Any) -> typer.Typer:
    """Return a program, or a group of commands in it, whose commands are those of a table."""

    class Named(CommandTable):
        table = entries

    made = typer.Typer(
        name=name,
        help=line,
        cls=Named,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: importing rich takes longer than all the rest
        **settings,
    )
    made.callback()(_nothing)
    return made


def _nothing() -> None: ...
