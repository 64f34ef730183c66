"""What has become of a study."""

import json
from pathlib import Path

import typer

from objectives.errors import UserError
from search.cli.looked_at import looked_at
from search.study.status import read_status
from search.terminal.progress import print_status, watch_status


def status(study: str, storage: str, home: Path | None, *, as_json: bool, watch: bool) -> None:
    """Print how far a study is."""
    if as_json and watch:
        raise UserError(
            "--json and --watch do not go together: call `search status --json` as often as you "
            "need"
        )
    with looked_at(study, storage, home) as opened:
        if as_json:
            typer.echo(json.dumps(read_status(opened).as_json()))
        elif watch:
            watch_status(opened)
        else:
            print_status(opened)
