"""``search confirm``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from search.cli.action import done_by, with_options
from search.cli.local_options import LocalOptions
from search.cli.options import Artifacts, Cache, DataHere, Home, Storage, StudyName


@dataclass(frozen=True, kw_only=True)
class ConfirmOptions(LocalOptions):
    """What is confirmed, and where."""

    study: StudyName = "default"
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            min=1,
            max=100,
            help="How many of the best trials, beside the control.  [default: 5]",
        ),
    ] = None
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, max=100, help="How often each is trained.  [default: 3]"),
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=2,
            max=100,
            help="Instead of seeds: deal all but the sealed test part into so many folds, and train "
            "each once beside each of them.",
        ),
    ] = None
    resplit: Annotated[
        bool | None,
        typer.Option(
            "--resplit/--no-resplit",
            help="Deal training and validation anew for each seed but the first.  [default: "
            "resplit, unless the validation part is given]",
        ),
    ] = None
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Plan anew from the best trials of now, with the options of before if not given.",
        ),
    ] = False
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=0,
            max=256,
            help="Worker processes on this host; 0: only write the study.",
        ),
    ] = 1
    data: DataHere = ""
    storage: Storage = ""
    artifacts: Artifacts = ""
    home: Home = None
    cache: Cache = None
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print what is confirmed so far; plan, train and write nothing."
        ),
    ] = False


@with_options(ConfirmOptions)
@done_by("search.cli.actions.confirm.confirm")
def command(asked: ConfirmOptions) -> None:
    """Train the best trials and the control again with other seeds, and say which of them is best
    and by how much.

    The runs are a study of their own, STUDY/confirm, which other workers may join. Interrupted, the
    same command goes on, whatever the search has found since; runs without a score are trained
    again, unless they diverged. With --again another study, STUDY/confirm-2 and so on, takes its
    place. Once each candidate has ended its run with the first seed, `search export-best` takes the
    confirmed winner.

    \b
    Example:
      search confirm --study mars --top 5 --seeds 3 --workers 2
      search confirm --study mars --top 3 --folds 5
    """
