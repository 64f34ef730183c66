"""``search worker``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from search.cli.action import done_by, with_options
from search.cli.local_options import LocalOptions
from search.cli.options import Artifacts, Cache, DataHere, Home, Storage, StudyName


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(LocalOptions):
    """Where a worker works, and how."""

    study: StudyName = "default"
    storage: Storage = ""
    artifacts: Artifacts = ""
    data: DataHere = ""
    threads: Annotated[
        int,
        typer.Option(
            "--threads", min=0, max=1024, help="CPU threads; 0: this worker's share of the host."
        ),
    ] = 0
    prefetchers: Annotated[
        int,
        typer.Option(
            "--prefetchers",
            envvar="SEARCH_PREFETCHERS",
            min=-1,
            max=1024,
            help="Processes that augment ahead of training; -1: on a GPU one for each core of this "
            "worker's but one, "
            "on a CPU none, where they pay only with cores to spare. They change no score.",
        ),
    ] = -1
    drain: Annotated[
        bool, typer.Option("--drain", help="On SIGTERM finish the trial at hand, then leave.")
    ] = False
    leave_code: Annotated[
        int,
        typer.Option(
            "--leave-code",
            envvar="SEARCH_LEAVE_CODE",
            min=0,
            max=255,
            help="Exit code of a worker that was asked to leave. An engine that takes 0 for done "
            "wants another: 75, say.",
        ),
    ] = 0
    wait: Annotated[
        str,
        typer.Option(
            "--wait",
            envvar="SEARCH_WAIT",
            help="How long to wait for a database or study not there yet.",
        ),
    ] = "5m"
    hang: Annotated[
        str,
        typer.Option(
            "--hang",
            envvar="SEARCH_HANG",
            help="A trial that gets nowhere for so long is restarted.",
        ),
    ] = "10m"
    lease: Annotated[
        str,
        typer.Option(
            "--lease",
            envvar="SEARCH_LEASE",
            help="A worker unheard of for so long loses its trial to others.",
        ),
    ] = "30s"
    verbose: Annotated[bool, typer.Option("--verbose", help="Print a line for each epoch.")] = False
    most_threads: Annotated[
        int,
        typer.Option(
            "--most-threads",
            hidden=True,
            min=0,
            max=1024,
            help="CPU threads at most, of this worker's share.",
        ),
    ] = 0
    with_parent: Annotated[
        int,
        typer.Option(
            "--with-parent",
            hidden=True,
            help="Leave when this process, which has started the worker, ends.",
        ),
    ] = 0
    home: Home = None
    cache: Cache = None


@with_options(WorkerOptions)
@done_by("search.cli.actions.worker.work")
def command(asked: WorkerOptions) -> None:
    """Pull trials until every trial of the budget has ended. SIGTERM or Ctrl-C: leave; the trial
    goes on elsewhere.

    A second one ends the worker at once; that loses nothing either.

    \b
    Example:
      search worker --study mars --storage postgresql://user@host/db --artifacts /shared/artifacts
    """
