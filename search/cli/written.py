"""A new study: checked in full, then written where the options say."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import typer

from objectives.data.preparing.progress import in_lines
from search.cli.study_options import StudyOptions
from search.cli.values import parse_duration
from search.database.embedded import refuse_home
from search.place import Place, home_folder, name_place, open_place
from search.study.learned import AUTO
from search.study.setup import Request, check_database, prepare, write


def request_of(asked: StudyOptions) -> Request:
    """Return the study that is asked for.

    Raises:
        UserError: An option cannot be read.
    """
    return Request(
        name=asked.study,
        source=asked.data,
        space=asked.space,
        trials=asked.trials,
        sets=tuple(asked.sets),
        until_s=parse_duration(asked.until),
        gpu_s=3600 * asked.gpu_hours,
        frames=asked.frames(),
        recipes=asked.recipes,
        learn_from=asked.learn_from,
        weights=tuple(asked.weights),
    )


@contextmanager
def written_study(
    request: Request, storage: str, artifacts: str, home: Path | None, cache: Path | None
) -> Iterator[Place]:
    """Yield the place of a study that is written when all of it is good; with bad input no database
    is even made.
    """
    if storage:
        check_database(storage)  # before the data, whose preparation may take minutes
    else:
        refuse_home(home_folder(home))
    place = name_place(storage, artifacts, home, cache)
    prepared = prepare(request, place, in_lines(partial(typer.echo, err=True)))
    for line in prepared.findings:
        typer.echo(line)
    make = request.learn_from in ("", AUTO)  # named ones are in a database that is there
    with open_place(storage, artifacts, home, cache, make=make) as place:
        typer.echo(write(prepared, place))
        yield place
