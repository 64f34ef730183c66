"""``search space show``."""

from search.cli.action import done_by
from search.cli.options import Sets, SpaceArgument


@done_by("search.cli.actions.space.show")
def command(name: SpaceArgument, sets: Sets = []) -> None:  # noqa: B006  # typer's way to say that an option repeats
    """Print every field that may vary, what it may be, when it exists, and the control's value.

    \b
    Example:
      search space show small --set model.depth=3
    """
