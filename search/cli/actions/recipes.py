"""The systems of the reports: show, run."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml

from objectives.errors import WorldError
from search.cli.commands.recipes_run import RecipeOptions
from search.cli.written import written_study
from search.machine.gpus import offer
from search.place import Place
from search.report.recipe_table import PRINTED, refuse_table, write_table
from search.study.data_path import data_path
from search.study.option_words import frame_words
from search.study.setup import Request
from search.study.stored import open_study
from search.terminal.local import run_locally
from spaces import choose_recipes
from spaces.recipes import implied_sets


def show(wanted: str) -> None:
    """Print recipes as YAML."""
    for recipe in choose_recipes(wanted):
        entry: dict[str, Any] = {
            "report": recipe.report,
            "reported": dict(recipe.reported),
            "note": recipe.note,
        }
        entry |= {"learns_ignored": True} if recipe.learns_ignored else {}
        # those are the study's
        config = recipe.config.model_dump(mode="json", exclude={"train": {"epochs"}})
        written = {recipe.name: {**entry, "config": config}}
        typer.echo(
            yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=100), nl=False
        )


def run(asked: RecipeOptions) -> None:
    """Train recipes here, and write the table."""
    offer(asked.device)  # refuses one that this host lacks
    refuse_table(asked.out, force=asked.force, source=asked.data)  # before hours of work
    request = Request(
        name=asked.study,
        source=asked.data,
        space="recipes",
        trials=0,
        sets=(*implied_sets(asked.epochs, asked.scale), *asked.sets),
        frames=asked.frames(),
        recipes=asked.recipes,
        filters=asked.scale,
    )
    with written_study(request, asked.storage, asked.artifacts, asked.home, asked.cache) as place:
        try:
            run_locally(
                asked.study,
                place,
                workers=asked.workers,
                how=asked.how,
                source=data_path(asked.data),
            )
        except (KeyboardInterrupt, SystemExit, WorldError):
            # at --out it would be in the way of the same command, which goes on
            _write(place, asked, PRINTED)
            raise
        _write(place, asked, asked.out)


def _write(place: Place, asked: RecipeOptions, out: Path) -> None:
    """Write the table of what has ended."""
    words = {
        "--recipes": asked.recipes,
        "--data": asked.data,
        "--epochs": asked.epochs,
        "--scale": asked.scale,
        "--seed": asked.seed,
    }
    words |= frame_words(asked.frames()) | {"--leave-out": asked.leave_out or ""}
    opened = open_study(place.storage, asked.study)
    write_table(opened, out, command=_command(words, asked.sets), replace=asked.force)
    opened.close()


def _command(asked: Mapping[str, object], sets: Iterable[str]) -> str:
    """Return the command that trains the same again, without the places where it keeps things."""
    pairs = [*asked.items(), *(("--set", each) for each in sets)]
    return shlex.join(
        [
            "search",
            "recipes",
            "run",
            *(str(word) for pair in pairs if pair[1] != "" for word in pair),
        ]
    )
