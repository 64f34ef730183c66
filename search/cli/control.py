"""Commands that act on a study while it runs: stop, pause, resume, extend."""

from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Home, Storage, StudyName, parse_duration
from search.cli.study_options import MOST_TRIALS
from search.place import open_database

if TYPE_CHECKING:
    from search.study.budget import Order


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    app.command("stop")(stop)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("extend")(extend)


def stop(study: StudyName = "default", storage: Storage = "", home: Home = None) -> None:
    """End a study now: running trials are left after the epoch at hand, unfinished, none begins, workers leave.

    `search export-best` can have their weights meanwhile; `search resume` opens it again and goes on with them.

    \b
    Example:
      search stop --study mars --storage postgresql://user@host/db
    """
    _order(Order.STOPPED, study, storage, home)


def pause(study: StudyName = "default", storage: Storage = "", home: Home = None) -> None:
    """Let workers put their trials aside after the epoch at hand, and wait; `search resume` goes on with the same trials.

    \b
    Example:
      search pause --study mars --storage postgresql://user@host/db
    """
    _order(Order.PAUSED, study, storage, home)


def resume(study: StudyName = "default", storage: Storage = "", home: Home = None) -> None:
    """Go on with a paused or stopped study; workers that have left must be started again.

    \b
    Example:
      search resume --study mars --storage postgresql://user@host/db
    """
    _order(Order.RUNNING, study, storage, home)


def extend(
    study: StudyName = "default",
    trials: Annotated[int, typer.Option("--trials", min=0, max=MOST_TRIALS, help="Trials more, like +50.")] = 0,
    gpu_hours: Annotated[float, typer.Option("--gpu-hours", min=0.0, max=1e6, help="Hours on devices more.")] = 0.0,
    until: Annotated[str, typer.Option("--until", help="Time more, like 2h, for a study with a deadline.")] = "",
    storage: Storage = "",
    home: Home = None,
) -> None:
    """Give a study more budget, whether it runs or has ended; workers that have left must be started again.

    \b
    Example:
      search extend --study mars --trials +50 --storage postgresql://user@host/db
    """
    from search.database.connections import reachable
    from search.study.orders import extend_budget
    from search.study.stored import open_study

    until_s = parse_duration(until.removeprefix("+"))
    with open_database(storage, home) as url, reachable(url):
        opened = open_study(url, study)
        typer.echo(extend_budget(opened, trials=trials, gpu_s=3600 * gpu_hours, until_s=until_s))
        opened.close()


def _order(order: "Order", study: str, storage: str, home: Home) -> None:
    from search.database.connections import reachable
    from search.study.orders import give_order
    from search.study.stored import open_study

    with open_database(storage, home) as url, reachable(url):
        opened = open_study(url, study)
        typer.echo(give_order(opened, order))
        opened.close()
