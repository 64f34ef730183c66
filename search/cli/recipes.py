"""Commands on recipes, the systems of the five reports: list, show, run."""

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.frame_options import FrameOptions, with_options
from search.cli.options import (
    Artifacts,
    Cache,
    Device,
    Force,
    Home,
    Json,
    Sets,
    Storage,
    StudyName,
)
from search.cli.study import refuse_missing_gpu, written_study
from search.cli.study_options import Data

if TYPE_CHECKING:
    from spaces import EnsembleOfRecipes, Recipe

app = typer.Typer(help="The systems of the five reports, as configs that a study can try.", no_args_is_help=True)


GREY, CLASSES = 1, 5  # the data of the reports, for which parameters are counted

Wanted = Annotated[str, typer.Argument(help="Rows and names like A5,C1, or all.")]


@app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """List every recipe with its parameters (for one grey channel and five classes) and the scores of its report.

    Ensembles of recipes come last: `search export-best --ensemble-of` makes them of a study that has trained their members.

    \b
    Example:
      search recipes list --json
    """
    from rich.table import Table

    from search.terminal.console import open_console
    from spaces import load_ensembles, load_recipes

    rows = [*map(_row, load_recipes()), *map(_ensemble_row, load_ensembles())]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("recipe", "parameters", "reported, %", box=None, pad_edge=False)
    for row in rows:
        scores = ", ".join(f"{name} {score:g}" for name, score in row["reported"].items())
        members = f" = {' + '.join(row['members'])}" if "members" in row else ""
        table.add_row(f"{row['name']}{members}", f"{row['parameters']:,}", scores)
    open_console().print(table)


@app.command("show")
def show(wanted: Wanted) -> None:
    """Print recipes as YAML: the whole config, the scores of the report, and how what is unclear there was read.

    \b
    Example:
      search recipes show A5
    """
    import yaml

    from spaces import choose_recipes

    for recipe in choose_recipes(wanted):
        told: dict[str, Any] = {"report": recipe.report, "reported": dict(recipe.reported), "note": recipe.note}
        told |= {"learns_ignored": True} if recipe.learns_ignored else {}
        config = recipe.config.model_dump(mode="json", exclude={"train": {"epochs"}})  # those are the study's
        written = {recipe.name: {**told, "config": config}}
        typer.echo(yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command("run")
@with_options(FrameOptions)
def run(
    asked: FrameOptions,
    recipes: Annotated[str, typer.Option("--recipes", help="Rows and names like A5,C1, or all.")] = "all",
    data: Data = "synthetic",
    epochs: Annotated[int, typer.Option("--epochs", min=1, max=10_000, help="Epochs of every recipe.")] = 20,
    scale: Annotated[
        float, typer.Option("--scale", min=0.01, max=1.0, help="Share of each recipe's filters; encoders by name stay.")
    ] = 1.0,
    out: Annotated[Path, typer.Option("--out", help="Markdown file for the table; printed without one.")] = Path("-"),
    study: StudyName = "recipes",
    force: Force = False,
    sets: Sets = [],  # noqa: B006  # typer's way to say that an option repeats
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Worker processes on this host.")] = 1,
    device: Device = "auto",
    storage: Storage = "",
    artifacts: Artifacts = "",
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Train recipes under one budget, and write a table of their scores beside those of the reports.

    Interrupted, the same command goes on where it stood.

    \b
    Example:
      search recipes run --recipes A3,A5,C1 --data frames.npz --epochs 20 --scale 0.25 --out recipes.md
    """
    from search.report.recipe_table import refuse_table, write_table
    from search.study.option_words import frame_words
    from search.study.setup import Request
    from search.study.spec import data_path
    from search.study.stored import open_study
    from search.terminal.local import run_locally
    from spaces.recipes import implied_sets

    refuse_missing_gpu(device)
    refuse_table(out, force=force, source=data)  # before hours of work
    request = Request(
        name=study,
        source=data,
        space="recipes",
        trials=0,
        sets=(*implied_sets(epochs, scale), *sets),
        frames=asked.frames(),
        recipes=recipes,
        filters=scale,
    )
    with written_study(request, storage, artifacts, home, cache) as place:
        run_locally(study, place, workers=workers, device=device, source=data_path(data))
        opened = open_study(place.storage, study)
        words = {"--recipes": recipes, "--data": data, "--epochs": epochs, "--scale": scale, "--seed": asked.seed}
        words |= frame_words(request.frames) | {"--leave-out": asked.leave_out or ""}
        write_table(opened, out, command=_command(words, sets), replace=force)
        opened.close()


def count_trainable(recipe: "Recipe") -> int:
    """The trainable parameters of the recipe's network; none of them is made."""
    import torch

    from objectives.networks import build_network, count_parameters

    with torch.device("meta"):
        return count_parameters(build_network(recipe.config.model, in_channels=GREY, num_classes=CLASSES))


def _command(asked: Mapping[str, object], sets: Iterable[str]) -> str:
    """The command that trains the same again, without the places where it keeps things."""
    pairs = [*asked.items(), *(("--set", each) for each in sets)]
    return shlex.join(["search", "recipes", "run", *(str(word) for pair in pairs if pair[1] != "" for word in pair)])


def _row(recipe: "Recipe") -> dict[str, Any]:
    return {
        "name": recipe.name,
        "parameters": count_trainable(recipe),
        "report": recipe.report,
        "reported": dict(recipe.reported),
    }


def _ensemble_row(ensemble: "EnsembleOfRecipes") -> dict[str, Any]:
    return {
        "name": ensemble.name,
        "members": [recipe.row for recipe in ensemble.members],
        "parameters": sum(map(count_trainable, ensemble.members)),
        "report": ensemble.members[0].report,
        "reported": dict(ensemble.reported),
    }
