"""``search recipes run``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from search.cli.action import done_by, with_options
from search.cli.frame_options import FrameOptions
from search.cli.local_options import LocalOptions
from search.cli.options import Artifacts, Cache, Force, Home, Sets, Storage, StudyName
from search.cli.study_options import Data


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(FrameOptions, LocalOptions):
    """Which recipes are trained, and on what."""

    recipes: Annotated[
        str, typer.Option("--recipes", help="Rows and names like A5,C1, or all.")
    ] = "all"
    data: Data = "synthetic"
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=10_000, help="Epochs of every recipe.")
    ] = 20
    scale: Annotated[
        float,
        typer.Option(
            "--scale",
            min=0.01,
            max=1.0,
            help="Share of each recipe's filters; encoders by name stay.",
        ),
    ] = 1.0
    out: Annotated[
        Path, typer.Option("--out", help="Markdown file for the table; printed without one.")
    ] = Path("-")
    study: StudyName = "recipes"
    force: Force = False
    sets: Sets = field(default_factory=list)
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Worker processes on this host.")
    ] = 1
    storage: Storage = ""
    artifacts: Artifacts = ""
    home: Home = None
    cache: Cache = None


@with_options(RecipeOptions)
@done_by("search.cli.actions.recipes.run")
def command(asked: RecipeOptions) -> None:
    """Train recipes under one budget, and write a table of their scores beside those of the reports.

    Interrupted, it prints the table of what has ended, and the same command goes on where it stood.

    \b
    Example:
      search recipes run --recipes A3,A5,C1 --data frames.npz --epochs 20 --scale 0.25 --out recipes.md
    """
