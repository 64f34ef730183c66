"""``search plan``."""

from typing import Annotated

import typer

from search.cli.action import done_by, with_options
from search.cli.options import Device
from search.cli.study_options import StudyOptions


@with_options(StudyOptions)
@done_by("search.cli.actions.plan.plan")
def command(
    asked: StudyOptions,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Workers, each on a device like this.")
    ] = 1,
    device: Device = "auto",
) -> None:
    """Say before a study is begun what its budget buys, from a few steps of training on this machine.

    \b
    Example:
      search plan --data frames.npz --space small --trials 40 --workers 2 --until 8h
    """
