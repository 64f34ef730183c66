"""Data checked before a study is made of it."""

import json
from functools import partial
from pathlib import Path

import typer

from objectives.data.dataset import check as examine
from objectives.data.dataset import drop_reasons
from objectives.data.preparing.progress import in_lines
from objectives.pictures.charts import data_picture
from search.cli.actions.picture_file import refuse_picture, write_picture
from search.cli.found_here import found_here
from search.cli.frame_options import FrameOptions


def check(
    asked: FrameOptions, source: str, picture: Path | None, *, force: bool, as_json: bool
) -> None:
    """Print what a data set holds, and every problem; exit code 2 with one."""
    options = asked.frames()
    if picture is not None:
        refuse_picture(picture, "--picture", force=force, source=source)
    report = examine(found_here(source), options, in_lines(partial(typer.echo, err=True)))
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        if report.frames:
            counts = (
                f"{report.frames} frames, {report.kept} kept, {len(report.dropped)} dropped, "
                f"{report.groups} groups"
            )
            typer.echo(f"{source}: {counts}")
        for line in drop_reasons(report.dropped):
            typer.echo(f"dropped: {line}")
        for name, share in report.classes:
            typer.echo(f"class {name}: {share:.2%} of the pixels")
        for name, count in report.parts:
            typer.echo(f"{name}: {count} frames")
        for warning in report.warnings:
            typer.echo(f"warning: {warning}")
        for name, text in report.assumed.items():
            typer.echo(f"# {name}, assumed: save it beside the frames to change it")
            typer.echo(text, nl=False)
        for problem in report.problems:
            typer.echo(f"problem: {problem}", err=True)
        typer.echo(report.remedy, nl=False, err=True)
    if report.problems:
        raise typer.Exit(2)
    if picture is not None:
        write_picture(picture, data_picture(report), force=force)
