"""``search run``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from search.cli.action import done_by, with_options
from search.cli.local_options import LocalOptions
from search.cli.study_options import StudyOptions


@dataclass(frozen=True, kw_only=True)
class RunOptions(StudyOptions, LocalOptions):
    """A study, and who trains it here."""

    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Worker processes on this host.")
    ] = 1


@with_options(RunOptions)
@done_by("search.cli.actions.study.run")
def command(asked: RunOptions) -> None:
    """Init, local workers and live progress in one terminal. Interrupted, the same command goes on
    where it stood.

    \b
    Example:
      search run --study mars --data frames.npz --space small --trials 12 --workers 2 --until 60m
    """
