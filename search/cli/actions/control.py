"""Orders to a study that runs: stop, pause, resume, extend."""

from pathlib import Path

import typer

from search.cli.opened import opened_study
from search.cli.values import parse_duration
from search.study.budget import Order
from search.study.orders import extend_budget, give_order


def stop(study: str, storage: str, home: Path | None) -> None:
    """Let nothing be trained any longer."""
    _order(Order.STOPPED, study, storage, home)


def pause(study: str, storage: str, home: Path | None) -> None:
    """Let workers wait."""
    _order(Order.PAUSED, study, storage, home)


def resume(study: str, storage: str, home: Path | None) -> None:
    """Let workers go on."""
    _order(Order.RUNNING, study, storage, home)


def extend(
    study: str, trials: int, gpu_hours: float, until: str, storage: str, home: Path | None
) -> None:
    """Add to a study's budget."""
    until_s = parse_duration(until.removeprefix("+"))
    with opened_study(study, storage, home) as (opened, _):
        typer.echo(extend_budget(opened, trials=trials, gpu_s=3600 * gpu_hours, until_s=until_s))


def _order(order: Order, study: str, storage: str, home: Path | None) -> None:
    with opened_study(study, storage, home) as (opened, _):
        typer.echo(give_order(opened, order))
