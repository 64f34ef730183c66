"""The command line. Commands import what they need when they run, so that ``search --help`` answers at once."""

import errno
import os
import sys

import typer

from objectives.errors import SearchError
from search.commands import data, model, service, space, study

app = typer.Typer(
    name="search",
    help="Hyperparameter search for semantic segmentation: many workers, one database, one model you can use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for part in (study, model, service):
    part.register(app)
app.add_typer(data.app, name="data")
app.add_typer(space.app, name="space")


def run() -> None:
    """Run one command; whatever a user can mend or wait for ends in one line, never in a traceback."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        app(standalone_mode=True)
    except SearchError as error:
        print(f"search: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPIPE):
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(f"search: {error.strerror}{place}: free some space, or choose a place that can be written", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
