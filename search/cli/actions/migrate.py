"""A study in a changed space, with the trials of another."""

import typer

from objectives.errors import UserError
from search.cli.commands.migrate import MigrateOptions
from search.cli.opened import opened_place
from search.cli.values import parse_duration
from search.study.migrate import Wish, migrate_study


def migrate(asked: MigrateOptions) -> None:
    """Write the new study."""
    if asked.to == asked.study:
        raise UserError(f"--to must name another study than {asked.study!r}: a study never changes")
    wish = Wish(
        name=asked.to,
        space=asked.space,
        trials=asked.trials,
        sets=tuple(asked.sets),
        recipes=asked.recipes,
        gpu_s=3600 * asked.gpu_hours,
        until_s=parse_duration(asked.until),
        source=asked.data,
    )
    with opened_place(asked.study, asked.storage, asked.artifacts, asked.home, asked.cache) as (
        old,
        place,
    ):
        for line in migrate_study(old, wish, place):
            typer.echo(line)
