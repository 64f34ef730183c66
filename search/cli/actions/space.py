"""A space looked at: show, check."""

import typer
from rich.table import Table

from search.terminal.console import open_console
from spaces import Fixed, FromParams, load_space
from spaces.fields.schema import flatten
from spaces.values import Value, plain, shown


def show(name: str, sets: list[str]) -> None:
    """Print what a space may vary, and its control."""
    space = load_space(name, sets)
    table = Table("field", "domain", "exists when", box=None, pad_edge=False)
    for row in space.describe():
        table.add_row(row.path, row.domain, row.condition)
    console = open_console()
    console.print(table)
    console.print("\ncontrol (trial 0):")
    for section, values in space.default().model_dump().items():
        console.print(f"  {section}: {values}")
    if space.steps:
        console.print("\nsteps from the control (the trials after it):")
    control = flatten(space.default())
    for step in space.steps:
        config = flatten(space.draw(FromParams(step)))
        changed = {path: value for path, value in config.items() if control.get(path) != value}
        console.print(f"  {', '.join(f'{path}: {_said(each)}' for path, each in changed.items())}")


def _said(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown(plain(value))


def check(name: str, sets: list[str]) -> None:
    """Print that a space is good."""
    space = load_space(name, sets)
    free = sum(not isinstance(domain, Fixed) for domain in space.domains.values())
    typer.echo(f"{name}: good, {free} fields vary, fingerprint {space.fingerprint[:12]}")
