"""Commands around studies: demo, dashboard, doctor."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Artifacts, Cache, Force, Home, Json, Storage, parse_duration
from search.place import name_artifacts, open_database


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    app.command("demo")(demo)
    app.command("dashboard")(dashboard)
    app.command("doctor")(doctor)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")] = Path("demo-bundle"),
    trials: Annotated[int, typer.Option("--trials", min=1, max=1000, help="Trials in all.")] = 10,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Worker processes.")] = 2,
    force: Force = False,
    home: Home = None,
) -> None:
    """Everything in minutes on a laptop: generated terrain, embedded Postgres, workers, progress, export.

    \b
    Example:
      search demo
    """
    from objectives.bundle.bundle_folder import refuse_taken
    from search.cli.model import open_names, print_export
    from search.cli.study import refuse_missing_gpu, written_study
    from search.export import best as export
    from search.study.setup import Request
    from search.study.stored import open_study
    from search.terminal.local import run_locally

    refuse_taken(out, force=force)  # before minutes of work
    refuse_missing_gpu("auto")
    name = time.strftime("demo-%Y%m%d-%H%M%S")
    request = Request(name=name, source="synthetic", space="tiny", trials=trials)
    with written_study(request, "", "", home, None) as place:
        run_locally(name, place, workers=workers, device="auto")
        opened = open_study(place.storage, name)
        provenance = export.export_best(opened, place, out, force=force)
        opened.close()
    print_export(out, provenance, open_names(out))
    command, where = sys.argv[0], f" --home {home}" if home else ""
    typer.echo(f"\nLook at its trials:    {command} dashboard{where}")
    typer.echo(f"                       and open http://127.0.0.1:8080/dashboard (study {name})")
    typer.echo(f"Label frames with it:  {command} predict {out} synthetic --out masks.npz")


def dashboard(
    storage: Storage = "",
    artifacts: Artifacts = "",
    host: Annotated[str, typer.Option("--host", help="Address to listen on; the dashboard has no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    allowed_host: Annotated[
        list[str],
        typer.Option(
            "--allowed-host", envvar="SEARCH_ALLOWED_HOSTS", help="Name that it is reached by from elsewhere. Repeats."
        ),
    ] = [],  # noqa: B006  # typer's way to say that an option repeats
    wait: Annotated[
        str, typer.Option("--wait", envvar="SEARCH_WAIT", help="How long to wait for a database that does not answer yet.")
    ] = "5m",
    home: Home = None,
) -> None:
    """optuna-dashboard on the studies of a database, with the trials' pictures. Ctrl-C ends it.

    \b
    Example:
      search dashboard --storage postgresql://user@host/db --artifacts /shared/artifacts
    """
    from search.dashboard.app import open_tables, serve
    from search.dashboard.gate import parse_names
    from search.database.connections import reachable

    wait_s, names = parse_duration(wait, "--wait", least_s=0), parse_names(allowed_host)
    store = name_artifacts(artifacts, home)
    with open_database(storage, home) as url, reachable(url):
        serve(open_tables(url, wait_s), store, host, port, names)


def doctor(
    storage: Storage = "", artifacts: Artifacts = "", home: Home = None, cache: Cache = None, as_json: Json = False
) -> None:
    """Say what this machine has and lacks: cores, memory, GPUs, disk, database, artifact store, versions.

    \b
    Example:
      search doctor --storage postgresql://user@host/db
    """
    import json

    from search.doctor.checks import examine

    findings = examine(storage, artifacts, home, cache)
    if as_json:
        typer.echo(json.dumps({finding.what: {"good": finding.good, "found": finding.found} for finding in findings}))
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.good else 'LACK'}  {finding.what:<15} {finding.found}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
