"""``search slurm``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from search.cli.action import done_by, with_options
from search.cli.options import Device, StudyName


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What each worker of an array is given."""

    study: StudyName = "default"
    storage: Annotated[
        str,
        typer.Option(
            "--storage", envvar="SEARCH_STORAGE", help="Postgres URL that the nodes reach."
        ),
    ] = ""
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=4096, help="Tasks of the array.")
    ] = 8
    device: Device = "cuda"
    gres: Annotated[
        str, typer.Option("--gres", help="What each worker is given; empty: no GPU.")
    ] = "gpu:1"
    cpus: Annotated[int, typer.Option("--cpus", min=1, max=1024, help="Cores of a worker.")] = 4
    mem: Annotated[
        str, typer.Option("--mem", help="Memory of a worker.  [default: the cluster's]")
    ] = ""
    time: Annotated[
        str, typer.Option("--time", help="A task's time limit; it comes back with a new one.")
    ] = "24:00:00"
    partition: Annotated[str, typer.Option("--partition", help="Where to run.")] = ""
    account: Annotated[str, typer.Option("--account", help="Whom to charge.")] = ""


@with_options(SlurmOptions)
@done_by("search.cli.actions.slurm.slurm")
def command(asked: SlurmOptions) -> None:
    """Print a script that starts workers of a study as an array of Slurm's. It submits nothing.

    The study's database must be one that the nodes reach: `search serve` makes one.

    \b
    Example:
      search slurm --study rocks --workers 8 --gres gpu:1 > worker.sbatch
    """
