"""Commands on a space file: show, check."""

from typing import Annotated

import typer

from search.cli.options import Sets

app = typer.Typer(help="Show or check what a search may vary.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Preset (mars, one-epoch, recipes, small, tiny) or YAML file.")]


@app.command("show")
def show(name: Name, sets: Sets = []) -> None:  # noqa: B006  # typer's way to say that an option repeats
    """Print every field that may vary, what it may be, when it exists, and the control's value.

    \b
    Example:
      search space show small --set model.depth=3
    """
    from rich.table import Table

    from search.terminal.console import open_console
    from spaces import load_space

    space = load_space(name, sets)
    table = Table("field", "domain", "exists when", box=None, pad_edge=False)
    for row in space.describe():
        table.add_row(row.path, row.domain, row.condition)
    console = open_console()
    console.print(table)
    console.print("\ncontrol (trial 0):")
    for section, values in space.default().model_dump().items():
        console.print(f"  {section}: {values}")


@app.command("check")
def check(name: Name, sets: Sets = []) -> None:  # noqa: B006
    """Check a space file in full; every problem is named with its path, rule and value.

    \b
    Example:
      search space check my-space.yaml
    """
    from spaces import Fixed, load_space

    space = load_space(name, sets)
    free = sum(not isinstance(domain, Fixed) for domain in space.domains.values())
    typer.echo(f"{name}: good, {free} fields vary, fingerprint {space.fingerprint[:12]}")
