"""``search extend``."""

from typing import Annotated

import typer

from search.cli.action import done_by
from search.cli.options import Home, Storage, StudyName
from search.cli.study_options import MOST_TRIALS


@done_by("search.cli.actions.control.extend")
def command(
    study: StudyName = "default",
    trials: Annotated[
        int, typer.Option("--trials", min=0, max=MOST_TRIALS, help="Trials more, like +50.")
    ] = 0,
    gpu_hours: Annotated[
        float, typer.Option("--gpu-hours", min=0.0, max=1e6, help="Hours on devices more.")
    ] = 0.0,
    until: Annotated[
        str,
        typer.Option(
            "--until",
            help="Time more, like 2h, for a study with a deadline; from now on where it is over.",
        ),
    ] = "",
    storage: Storage = "",
    home: Home = None,
) -> None:
    """Give a study more budget, whether it runs or has ended; workers that have left must be
    started again.

    \b
    Example:
      search extend --study mars --trials +50 --storage postgresql://user@host/db
    """
