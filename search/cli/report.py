"""``search report``: a study as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Artifacts, Force, Home, Storage, StudyName
from search.place import name_artifacts, open_database


def register(app: typer.Typer) -> None:
    """Add this module's command to the program."""
    app.command("report")(report)


def report(
    study: StudyName = "default",
    out: Annotated[Path, typer.Option("--out", help="The HTML file.")] = Path("report.html"),
    storage: Storage = "",
    artifacts: Artifacts = "",
    force: Force = False,
    home: Home = None,
) -> None:
    """Write a study as one HTML file for people: scores, curves, what mattered, pictures, costs. It needs no network.

    A study that still runs is reported as it is now.

    \b
    Example:
      search report --study mars --storage postgresql://user@host/db --artifacts /shared/artifacts --out report.html
    """
    from objectives.output_place import is_stream
    from search.artifacts.pictures import open_pictures
    from search.database.connections import reachable
    from search.report.page import refuse_report, write_report
    from search.report.sections.headline import state_of
    from search.study.spec import refuse_without_scores
    from search.study.stored import open_study

    refuse_report(out, force=force)
    with open_database(storage, home) as url, reachable(url):
        pictures = open_pictures(name_artifacts(artifacts, home))
        opened = open_study(url, study)
        refuse_without_scores(opened.spec)
        findings = write_report(opened, url, pictures, out, replace=force)
        opened.close()
    typer.echo(f"report of study {study!r}, which {state_of(findings.study)}: {out.absolute()}", err=is_stream(out))
