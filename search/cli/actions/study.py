"""A new study, and what has become of one: init, run, status."""

import json
from pathlib import Path

import typer

from objectives.errors import UserError
from search.cli.opened import opened_study
from search.cli.study_options import StudyOptions
from search.cli.written import request_of, written_study
from search.machine.gpus import offer
from search.study.spec import data_path
from search.study.status import read_status
from search.terminal.local import run_locally
from search.terminal.progress import print_status, watch_status


def init(asked: StudyOptions) -> None:
    """Write the study that is asked for."""
    with written_study(request_of(asked), asked.storage, asked.artifacts, asked.home, asked.cache):
        pass


def run(asked: StudyOptions, workers: int, device: str) -> None:
    """Write the study that is asked for, and train it here."""
    offer(device)  # refuses one that this host lacks, before any work
    with written_study(
        request_of(asked), asked.storage, asked.artifacts, asked.home, asked.cache
    ) as place:
        # the study may be of equal data that has moved since
        run_locally(
            asked.study, place, workers=workers, device=device, source=data_path(asked.data)
        )


def status(study: str, storage: str, home: Path | None, *, as_json: bool, watch: bool) -> None:
    """Print how far a study is."""
    if as_json and watch:
        raise UserError(
            "--json and --watch do not go together: call `search status --json` as often as you "
            "need"
        )
    with opened_study(study, storage, home) as (opened, _):
        if as_json:
            typer.echo(json.dumps(read_status(opened).as_json()))
        elif watch:
            watch_status(opened)
        else:
            print_status(opened)
