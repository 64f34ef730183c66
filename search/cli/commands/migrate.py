"""``search migrate``."""

from dataclasses import dataclass, field
from typing import Annotated

import typer

from objectives.errors import UserError
from search.cli.action import done_by, with_options
from search.cli.options import (
    Artifacts,
    Cache,
    DataHere,
    Home,
    Sets,
    Storage,
    StudyName,
    check_study_name,
)
from search.cli.study_options import MOST_TRIALS, GpuHours, Recipes, SpaceName, Until


def check_target(name: str) -> str:
    """Return the name itself.

    Raises:
        UserError: It cannot name a study.
    """
    try:
        return check_study_name(name)
    except UserError as error:
        raise UserError(str(error).replace("--study", "--to")) from None


@dataclass(frozen=True, kw_only=True)
class MigrateOptions:
    """The new study, and the one that it comes from."""

    to: Annotated[str, typer.Option("--to", callback=check_target, help="Name of the new study.")]
    space: SpaceName
    trials: Annotated[
        int,
        typer.Option(
            "--trials", min=1, max=MOST_TRIALS, help="New trials, besides the copied ones."
        ),
    ]
    study: StudyName = "default"
    sets: Sets = field(default_factory=list)
    recipes: Recipes = ""
    gpu_hours: GpuHours = 0.0
    until: Until = ""
    data: DataHere = ""
    storage: Storage = ""
    artifacts: Artifacts = ""
    home: Home = None
    cache: Cache = None


@with_options(MigrateOptions)
@done_by("search.cli.actions.migrate.migrate")
def command(asked: MigrateOptions) -> None:
    """Start a study in a changed space with those ended trials of another one that fit into it.

    --trials counts new trials; the copies come on top of them. With equal arguments again: nothing happens.

    \b
    Example:
      search migrate --study mars --to mars-deeper --space mars --set 'model.depth={int: [3, 6]}' --trials 40
    """
