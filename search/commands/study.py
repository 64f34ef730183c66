"""Commands on a study: init, worker, run, status."""

import json
import os
from typing import Annotated

import typer

from search.commands.options import (
    Artifacts,
    Cache,
    Home,
    Json,
    MinIdentical,
    Size,
    Storage,
    StudyName,
    open_place,
    parse_duration,
    parse_size,
)

Data = Annotated[
    str, typer.Option("--data", envvar="SEARCH_DATA", help="npz file, folder with images/ and masks/, or `synthetic`.")
]
SpaceName = Annotated[str, typer.Option("--space", envvar="SEARCH_SPACE", help="Preset (mars, small, tiny) or YAML file.")]
Trials = Annotated[int, typer.Option("--trials", min=1, help="Budget: trials in all, the control included.")]
Sets = Annotated[list[str], typer.Option("--set", help="Fix or change a field of the space: model.depth=3. Repeats.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the split, the sampler and the trials.")]
Until = Annotated[
    str, typer.Option("--until", help="Time from the first trial on, like 60m: then running trials end, none begins.")
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    app.command("init")(init)
    app.command("worker")(worker)
    app.command("run")(run)
    app.command("status")(status)


def init(
    study: StudyName = "default",
    data: Data = "synthetic",
    space: SpaceName = "small",
    trials: Trials = 20,
    until: Until = "",
    sets: Sets = [],  # noqa: B006  # typer's way to say that an option repeats
    size: Size = "",
    min_identical: MinIdentical = 10,
    seed: Seed = 0,
    storage: Storage = "",
    artifacts: Artifacts = "",
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Check data and space, and write the study. With equal arguments again: nothing happens.

    Example: search init --study mars --data frames.npz --space small --trials 20 --storage postgresql://user@host/db
    """
    from search.setup import Request, set_up

    request = Request(study, data, space, tuple(sets), trials, parse_duration(until), parse_size(size), min_identical, seed)
    with open_place(storage, artifacts, home, cache) as place:
        for line in set_up(request, place):
            typer.echo(line)


def worker(
    study: StudyName = "default",
    storage: Storage = "",
    artifacts: Artifacts = "",
    device: Annotated[str, typer.Option("--device", envvar="SEARCH_DEVICE", help="auto, cpu, cuda or cuda:N.")] = "auto",
    data: Annotated[str, typer.Option("--data", help="The study's data on this host, where it lies elsewhere.")] = "",
    threads: Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0: this worker's share of the host.")] = 0,
    drain: Annotated[bool, typer.Option("--drain", help="On SIGTERM finish the trial at hand, then leave.")] = False,
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Pull trials until every trial of the budget has ended. SIGTERM or Ctrl-C: leave; the trial goes on elsewhere.

    Example: search worker --study mars --storage postgresql://user@host/db --artifacts /shared/artifacts
    """
    from search.study import open_study
    from search.worker import Orders, Settings, run_worker

    with open_place(storage, artifacts, home, cache) as place:
        settings = Settings(place.artifacts, place.cache, device, data, threads)
        opened = open_study(place.storage, study)
        try:
            run_worker(opened, settings, Orders.from_signals(drain=drain), _say)
        finally:
            opened.close()


def run(
    study: StudyName = "default",
    data: Data = "synthetic",
    space: SpaceName = "small",
    trials: Trials = 20,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Worker processes on this host.")] = 1,
    until: Until = "",
    sets: Sets = [],  # noqa: B006
    size: Size = "",
    min_identical: MinIdentical = 10,
    seed: Seed = 0,
    device: Annotated[str, typer.Option("--device", envvar="SEARCH_DEVICE", help="auto, cpu, cuda or cuda:N.")] = "auto",
    storage: Storage = "",
    artifacts: Artifacts = "",
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Init, local workers and live progress in one terminal. Interrupted, the same command goes on where it stood.

    Example: search run --study mars --data frames.npz --space small --trials 12 --workers 2 --until 60m
    """
    from search.local import run_locally
    from search.setup import Request, set_up

    request = Request(study, data, space, tuple(sets), trials, parse_duration(until), parse_size(size), min_identical, seed)
    with open_place(storage, artifacts, home, cache) as place:
        for line in set_up(request, place):
            typer.echo(line)
        run_locally(study, place, workers=workers, device=device)


def status(
    study: StudyName = "default",
    storage: Storage = "",
    home: Home = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and update until the study is done.")] = False,
) -> None:
    """Budget, trials by state, the best so far with per-class IoU, and the workers.

    Example: search status --study mars --storage postgresql://user@host/db --json
    """
    from search.progress import print_status, watch_status
    from search.status import read_status
    from search.storage import reachable
    from search.study import open_study

    with open_place(storage, home=home) as place, reachable(place.storage):
        opened = open_study(place.storage, study)
        if as_json:
            typer.echo(json.dumps(read_status(opened).as_json()))
        elif watch:
            watch_status(opened)
        else:
            print_status(opened)
        opened.close()


def _say(line: str) -> None:
    typer.echo(f"worker {os.getpid()}: {line}")
