"""``search space check``."""

from search.cli.action import done_by
from search.cli.options import Sets, SpaceArgument


@done_by("search.cli.actions.space.check")
def command(name: SpaceArgument, sets: Sets = []) -> None:  # noqa: B006
    """Check a space file in full; every problem is named with its path, rule and value.

    \b
    Example:
      search space check my-space.yaml
    """
