"""A study's report as a file."""

from pathlib import Path

import typer

from objectives.outputs.place import is_stream
from search.artifacts.pictures import open_pictures
from search.cli.opened import opened_study
from search.place import name_artifacts
from search.report.page import refuse_report, write_report
from search.report.sections.headline import state_of
from search.study.spec import refuse_without_scores


def report(
    study: str, out: Path, storage: str, artifacts: str, home: Path | None, *, force: bool
) -> None:
    """Write a study's report."""
    refuse_report(out, force=force)
    with opened_study(study, storage, home) as (opened, url):
        pictures = open_pictures(name_artifacts(artifacts, home))
        refuse_without_scores(opened.spec)
        findings = write_report(opened, url, pictures, out, replace=force)
    typer.echo(
        f"report of study {study!r}, which {state_of(findings.study)}: {out.absolute()}",
        err=is_stream(out),
    )
