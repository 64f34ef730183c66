"""``search recipes show``."""

from search.cli.action import done_by
from search.cli.options import RecipeNames


@done_by("search.cli.actions.recipes.show")
def command(wanted: RecipeNames) -> None:
    """Print recipes as YAML: the whole config, the scores of the report, and how what is unclear
    there was read.

    \b
    Example:
      search recipes show A5
    """
