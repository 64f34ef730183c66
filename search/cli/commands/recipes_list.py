"""``search recipes list``."""

from search.cli.action import done_by
from search.cli.options import Json


@done_by("search.cli.actions.recipes_list.list_all")
def command(as_json: Json = False) -> None:
    """List every recipe with its parameters (for one grey channel and five classes) and the scores
    of its report.

    Ensembles of recipes come last: `search export-best --ensemble-of` makes them of a study that
    has trained their members.

    \b
    Example:
      search recipes list --json
    """
