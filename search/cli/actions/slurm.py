"""The script of an array of workers, from its options to standard output."""

import sysconfig
from pathlib import Path

import typer

from objectives.errors import UserError
from search.cli.commands.slurm import SlurmOptions
from search.cli.looked_at import looked_at
from search.database.capacity import ask_capacity
from search.engines.slurm import worker_script


def slurm(asked: SlurmOptions) -> None:
    """Print the script, once the study is known to be there."""
    options = {
        "--array": f"0-{asked.workers - 1}",
        "--cpus-per-task": str(asked.cpus),
        "--gres": asked.gres,
        "--time": asked.time,
        "--mem": asked.mem,
        "--partition": asked.partition,
        "--account": asked.account,
    }
    script = worker_script(_program(), asked.study, asked.device, options)
    if not asked.storage:
        raise UserError(
            "nodes do not reach the database of a home: run `search serve` and set SEARCH_STORAGE "
            "as it says, or name a server with --storage"
        )
    with looked_at(asked.study, asked.storage, None):
        warning = ask_capacity(asked.storage).warning(starting=asked.workers)
    if warning:
        typer.echo(warning, err=True)
    typer.echo(script, nl=False)


def _program() -> str:
    """Return where this program lies; its name where nobody knows."""
    program = Path(sysconfig.get_path("scripts")) / "search"
    return str(program) if program.exists() else "search"
