"""Progress for people: a live table on a terminal, a line per ended trial elsewhere."""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from search.status import Status, TrialLine, read_status, read_trials
from search.study import Study
from search.terminal import open_console

REFRESH_S = 1.0
MOST_ROWS = 24
COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}


def print_status(study: Study) -> None:
    """Print a study's status once."""
    open_console().print(_view(study, read_status(study), read_trials(study)))


def watch_status(study: Study) -> None:
    """Show a study's status until every trial of its budget has ended."""
    show_until(study, lambda: _over(read_status(study)))


def show_until(study: Study, over: Callable[[], bool]) -> None:
    """Show a study's progress until ``over()``, and once more at the end; an outage of the database is waited out."""
    console = open_console()
    if not console.is_terminal:
        _print_endings(study, console, over)
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            last = over()
            try:
                live.update(_view(study, read_status(study), read_trials(study)), refresh=True)
            except DBAPIError:
                live.update(Text("the database does not answer; waiting"), refresh=True)
            if last:
                return
            time.sleep(REFRESH_S)


def _print_endings(study: Study, console: Console, over: Callable[[], bool]) -> None:
    told: set[int] = set()
    while True:
        last = over()
        try:
            for trial in read_trials(study):
                if trial.state not in ("running", "waiting") and trial.number not in told:
                    told.add(trial.number)
                    console.print(f"trial {trial.number} {trial.state} after {trial.epochs} epochs: {_number(trial.value)}")
        except DBAPIError:
            console.print("the database does not answer; waiting")
        if last:
            return
        time.sleep(REFRESH_S)


def _view(study: Study, status: Status, trials: list[TrialLine]) -> Group:
    return Group(_headline(status), _trial_table(trials), *_best_lines(study, status))


def _headline(status: Status) -> Text:
    counts = ", ".join(f"{count} {state}" for state, count in status.trials.items() if count)
    alive = sum(worker["alive"] for worker in status.workers)
    return Text(f"study {status.study}: {status.spent} of {status.budget} trials ({counts}), {alive} workers alive")


def _trial_table(trials: list[TrialLine]) -> Table:
    table = Table("trial", "state", "epochs", "last score", "value", box=None, pad_edge=False)
    for trial in trials[-MOST_ROWS:]:
        state = Text(trial.state, style=COLOURS.get(trial.state, ""))
        table.add_row(str(trial.number), state, str(trial.epochs), _number(trial.score), _number(trial.value))
    return table


def _best_lines(study: Study, status: Status) -> list[Text]:
    if status.best is None:
        return [Text("no complete trial yet")]
    classes = ", ".join(f"{name} {iou:.3f}" for name, iou in status.best.per_class.items())
    return [Text(f"best: trial {status.best.number}, validation mean IoU {status.best.score:.4f} ({classes})", style="bold")]


def _over(status: Status) -> bool:
    unfinished = sum(status.trials[state] for state in ("running", "interrupted", "waiting"))
    return status.spent >= status.budget and not unfinished


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
