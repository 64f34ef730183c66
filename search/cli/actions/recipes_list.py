"""Every recipe with the parameters of its network."""

import json
from functools import cache
from typing import Any

import torch
import typer
from rich.table import Table

from objectives.config import Model
from objectives.networks import build_network, count_parameters
from search.terminal.console import open_console
from spaces import EnsembleOfRecipes, Recipe, load_ensembles, load_recipes

# the data of the reports, for which parameters are counted
GREY = 1
CLASSES = 5


def list_all(*, as_json: bool) -> None:
    """Print every recipe and ensemble."""
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


def count_trainable(recipe: Recipe) -> int:
    """Return the trainable parameters of the recipe's network; none of them is made."""
    return _count(recipe.config.model)


@cache  # many recipes share a network, and ensembles have their members'
def _count(model: Model) -> int:
    with torch.device("meta"):
        return count_parameters(build_network(model, in_channels=GREY, num_classes=CLASSES))


def _row(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "parameters": count_trainable(recipe),
        "report": recipe.report,
        "reported": dict(recipe.reported),
    }


def _ensemble_row(ensemble: EnsembleOfRecipes) -> dict[str, Any]:
    return {
        "name": ensemble.name,
        "members": [recipe.row for recipe in ensemble.members],
        "parameters": sum(map(count_trainable, ensemble.members)),
        "report": ensemble.members[0].report,
        "reported": dict(ensemble.reported),
    }
