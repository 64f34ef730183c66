"""``search run``."""

from typing import Annotated

import typer

from search.cli.action import done_by, with_options
from search.cli.options import Device, PerGpu
from search.cli.study_options import StudyOptions


@with_options(StudyOptions)
@done_by("search.cli.actions.study.run")
def command(
    asked: StudyOptions,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Worker processes on this host.")
    ] = 1,
    device: Device = "auto",
    per_gpu: PerGpu = "",
) -> None:
    """Init, local workers and live progress in one terminal. Interrupted, the same command goes on
    where it stood.

    \b
    Example:
      search run --study mars --data frames.npz --space small --trials 12 --workers 2 --until 60m
    """
