"""Commands on a study: init, worker, run, status."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.errors import SearchError, UserError
from search.cli.frame_options import with_options
from search.cli.options import Artifacts, Cache, Device, Home, Json, Storage, StudyName, parse_duration
from search.cli.study_options import StudyOptions
from search.place import Place, home_folder, name_place, open_database, open_place

if TYPE_CHECKING:
    from search.study.setup import Request


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    app.command("init")(init)
    app.command("worker")(worker)
    app.command("run")(run)
    app.command("status")(status)


@with_options(StudyOptions)
def init(asked: StudyOptions) -> None:
    """Check data and space, and write the study. With equal arguments again: nothing happens.

    \b
    Example:
      search init --study mars --data frames.npz --space small --trials 20 --set model.depth=3 \\
        --storage postgresql://user@host/db --artifacts /shared/artifacts
    """
    with written_study(asked.request(), asked.storage, asked.artifacts, asked.home, asked.cache):
        pass


def worker(
    study: StudyName = "default",
    storage: Storage = "",
    artifacts: Artifacts = "",
    device: Device = "auto",
    data: Annotated[str, typer.Option("--data", help="The study's data on this host, where it lies elsewhere.")] = "",
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=1024, help="CPU threads; 0: this worker's share of the host.")
    ] = 0,
    prefetchers: Annotated[
        int,
        typer.Option(
            "--prefetchers",
            envvar="SEARCH_PREFETCHERS",
            min=-1,
            max=1024,
            help="Processes that augment ahead of training; -1: on a GPU one for each core of this worker's but one, "
            "on a CPU none, where they pay only with cores to spare. They change no score.",
        ),
    ] = -1,
    drain: Annotated[bool, typer.Option("--drain", help="On SIGTERM finish the trial at hand, then leave.")] = False,
    leave_code: Annotated[
        int,
        typer.Option(
            "--leave-code",
            envvar="SEARCH_LEAVE_CODE",
            min=0,
            max=255,
            help="Exit code of a worker that was told to leave. An engine that takes 0 for done wants another: 75, say.",
        ),
    ] = 0,
    wait: Annotated[
        str, typer.Option("--wait", envvar="SEARCH_WAIT", help="How long to wait for a database or study not there yet.")
    ] = "5m",
    hang: Annotated[
        str,
        typer.Option("--hang", envvar="SEARCH_HANG", help="A trial that gets nowhere for so long is restarted."),
    ] = "10m",
    lease: Annotated[
        str, typer.Option("--lease", envvar="SEARCH_LEASE", help="A worker unheard of for so long loses its trial to others.")
    ] = "30s",
    verbose: Annotated[bool, typer.Option("--verbose", help="Print a line for each epoch.")] = False,
    most_threads: Annotated[
        int, typer.Option("--most-threads", hidden=True, min=0, max=1024, help="CPU threads at most, of this worker's share.")
    ] = 0,
    with_parent: Annotated[
        int, typer.Option("--with-parent", hidden=True, help="Leave when this process, which has started the worker, ends.")
    ] = 0,
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Pull trials until every trial of the budget has ended. SIGTERM or Ctrl-C: leave; the trial goes on elsewhere.

    A second one ends the worker at once; that loses nothing either.

    \b
    Example:
      search worker --study mars --storage postgresql://user@host/db --artifacts /shared/artifacts
    """
    from objectives.lifeline import leave_with
    from search.database.connections import reachable
    from search.worker.arrival import wait_for_study
    from search.worker.context import Orders, Settings
    from search.worker.loop import run_worker

    if leave_code in (SearchError.exit_code, UserError.exit_code):
        raise UserError(f"--leave-code {leave_code} means something else already: take 0 or 3 to 255, 75 say")
    orders = Orders.from_signals(drain=drain, leave_code=leave_code)  # first: whatever is waited for below, it can be left
    if with_parent:
        leave_with(with_parent)
    refuse_missing_gpu(device)
    wait_s = parse_duration(wait, "--wait", least_s=0)
    times = {
        "lease_s": parse_duration(lease, "--lease", least_s=2),
        "hang_s": parse_duration(hang, "--hang", least_s=5),
    }
    with open_place(storage, artifacts, home, cache) as place, reachable(place.storage):
        settings = Settings(
            place.artifacts, place.cache, device, data, threads, most_threads, prefetchers, **times, verbose=verbose
        )
        opened = wait_for_study(place.storage, study, wait_s, _say)
        try:
            run_worker(opened, settings, orders, _say)
        finally:
            opened.close()
    if orders.leave.is_set():
        raise typer.Exit(leave_code)


@with_options(StudyOptions)
def run(
    asked: StudyOptions,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Worker processes on this host.")] = 1,
    device: Device = "auto",
) -> None:
    """Init, local workers and live progress in one terminal. Interrupted, the same command goes on where it stood.

    \b
    Example:
      search run --study mars --data frames.npz --space small --trials 12 --workers 2 --until 60m
    """
    from search.study.spec import data_path
    from search.terminal.local import run_locally

    refuse_missing_gpu(device)
    with written_study(asked.request(), asked.storage, asked.artifacts, asked.home, asked.cache) as place:
        # the study may be of equal data that has moved since
        run_locally(asked.study, place, workers=workers, device=device, source=data_path(asked.data))


def status(
    study: StudyName = "default",
    storage: Storage = "",
    home: Home = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and update until the study is done.")] = False,
) -> None:
    """Budget, trials by state, the best so far with per-class IoU, and the workers.

    \b
    Example:
      search status --study mars --storage postgresql://user@host/db --json
    """
    from objectives.errors import UserError
    from search.database.connections import reachable
    from search.study.status import read_status
    from search.study.stored import open_study
    from search.terminal.progress import print_status, watch_status

    if as_json and watch:
        raise UserError("--json and --watch do not go together: call `search status --json` as often as you need")
    with open_database(storage, home) as url, reachable(url):
        opened = open_study(url, study)
        if as_json:
            typer.echo(json.dumps(read_status(opened).as_json()))
        elif watch:
            watch_status(opened)
        else:
            print_status(opened)
        opened.close()


@contextmanager
def written_study(request: "Request", storage: str, artifacts: str, home: Path | None, cache: Path | None) -> Iterator[Place]:
    """The place of a study that is written when all of it is good; with bad input no database is even made."""
    from search.database.embedded import refuse_home
    from search.study.setup import check_database, prepare, write

    if storage:
        check_database(storage)  # before the data, whose preparation may take minutes
    else:
        refuse_home(home_folder(home))
    prepared = prepare(request, name_place(storage, artifacts, home, cache))
    for line in prepared.findings:
        typer.echo(line)
    with open_place(storage, artifacts, home, cache, make=True) as place:
        typer.echo(write(prepared, place))
        yield place


def refuse_missing_gpu(device: str) -> None:
    """Return when this host has the device, as far as the driver says.

    Raises: UserError without such a GPU; WorldError when the driver or all its cards do not answer.
    """
    from search.machine.gpus import offer

    offer(device)


def _say(line: str) -> None:
    with suppress(OSError):  # a log whose disk is full is no reason to stop training
        typer.echo(f"worker {os.getpid()}: {line}")
        sys.stdout.flush()  # whoever follows the log of a worker reads it as it is said
