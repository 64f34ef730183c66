"""A new study: init and run."""

import typer

from search.cli.commands.run import RunOptions
from search.cli.study_options import StudyOptions
from search.cli.written import request_of, written_study
from search.database.capacity import ask_capacity
from search.machine.gpus import offer
from search.study.data_path import data_path
from search.terminal.local import run_locally


def init(asked: StudyOptions) -> None:
    """Write the study that is asked for."""
    with written_study(request_of(asked), asked.storage, asked.artifacts, asked.home, asked.cache):
        if asked.storage:
            capacity = ask_capacity(asked.storage)
            typer.echo("\n".join(filter(None, [str(capacity), capacity.warning()])))


def run(asked: RunOptions) -> None:
    """Write the study that is asked for, and train it here."""
    offer(asked.device)  # refuses one that this host lacks, before any work
    with written_study(
        request_of(asked), asked.storage, asked.artifacts, asked.home, asked.cache
    ) as place:
        if asked.storage:  # the embedded one has enough
            typer.echo(str(ask_capacity(asked.storage)))
        # the study may be of equal data that has moved since
        run_locally(
            asked.study,
            place,
            workers=asked.workers,
            how=asked.how,
            source=data_path(asked.data),
        )
