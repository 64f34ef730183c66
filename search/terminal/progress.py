"""Progress for people: a live table on a terminal, a line per ended trial elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from objectives.bundle.belief_in_one import chance
from search.posterior.standing import SURE
from search.study.budget import is_over
from search.study.front import Model
from search.study.known import Readable
from search.study.names import CONTROL
from search.study.record import Believed
from search.study.shared_gpus import shared_gpus
from search.study.status import Status, read_status
from search.study.trial_lines import TrialLine, read_trials
from search.terminal.console import open_console

REFRESH_S = 1.0
MOST_ROWS = 24
ENDED = ("complete", "pruned", "failed")
OUTAGES = (DBAPIError,)
AWAY = Text("the database does not answer; waiting")
COLOURS = {
    "interrupted": "magenta",
    "complete": "green",
    "pruned": "yellow",
    "failed": "red",
    "running": "cyan",
}


def print_status(study: Readable) -> None:
    """Print a study's status once."""
    open_console().print(_view(read_status(study), read_trials(study, newest=MOST_ROWS)))


def watch_status(study: Readable) -> None:
    """Show a study's status until every trial of its budget has ended."""
    show_until(study, lambda: _over(study))


def nothing_said() -> list[str]:
    """Say nothing: of workers elsewhere only their rows are known."""
    return []


def show_until(
    study: Readable, over: Callable[[], bool], said: Callable[[], list[str]] = nothing_said
) -> None:
    """Show a study's progress until ``over()``, and once more at the end, and what is ``said``
    meanwhile; an outage of the database is waited out.
    """
    console = open_console()
    if console.is_terminal:
        _show_live(study, console, over, said)
    else:
        _print_endings(study, console, over, said)


def _show_live(
    study: Readable, console: Console, over: Callable[[], bool], said: Callable[[], list[str]]
) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            last = over()
            for line in said():
                console.print(line)
            try:
                trials = read_trials(study, newest=MOST_ROWS)
                live.update(_view(read_status(study), trials), refresh=True)
            except OUTAGES:
                live.update(AWAY, refresh=True)
            if last:
                return
            time.sleep(REFRESH_S)


def _print_endings(
    study: Readable, console: Console, over: Callable[[], bool], said: Callable[[], list[str]]
) -> None:
    """Print a line for every trial that begins or ends, and the whole at the end; one line for an
    outage or a halt, however long.
    """
    printed: set[tuple[int, str]] = set()
    since = 0  # what was before has ended, and was said
    away = False
    halted = False
    while True:
        last = over()
        for line in said():
            console.print(line)
        try:
            trials = read_trials(study, since=since)
            for trial in trials:
                if (line := _news(trial)) and (trial.number, line) not in printed:
                    printed.add((trial.number, line))
                    console.print(line)
            since = next(
                (each.number for each in trials if each.state not in ENDED), _after(trials, since)
            )
            status = read_status(study)
            if status.halted != halted and not last:
                console.print(f"study {status.study} is {status.standing}")
            halted = status.halted
            if last:
                console.print(Group(_headline(status), *_best_lines(status), *_warnings(status)))
            away = False
        except OUTAGES:
            if not away:
                console.print(AWAY)
            away = True
        if last:
            return
        sys.stdout.flush()
        time.sleep(REFRESH_S)


def _after(trials: list[TrialLine], since: int) -> int:
    return trials[-1].number + 1 if trials else since


def _view(status: Status, trials: list[TrialLine]) -> Group:
    learned = [Text(f"learns from {status.learned}")] if status.learned else []
    gpus = map(Text, shared_gpus(status.workers))
    rest = (*_best_lines(status), *_warnings(status))
    return Group(_headline(status), *gpus, _trial_table(trials), *learned, *rest)


def _headline(status: Status) -> Text:
    counts = ", ".join(f"{count} {state}" for state, count in status.trials.items() if count)
    workers = f"{sum(worker['alive'] for worker in status.workers)} workers alive"
    return Text(
        f"study {status.study}: {status.spent} of {status.budget.trials} trials ({counts}), "
        f"{workers}; {status.standing}"
    )


def _trial_table(trials: list[TrialLine]) -> Table:
    """Return a table of trials."""
    table = Table(
        "trial", "state", "epochs", "last score", "value", "recipe", box=None, pad_edge=False
    )
    for trial in trials:
        state = Text(trial.state, style=COLOURS.get(trial.state, ""))
        table.add_row(
            str(trial.number),
            state,
            str(trial.epochs),
            _number(trial.score),
            _number(trial.value),
            trial.recipe,
        )
    return table


def _news(trial: TrialLine) -> str:
    """Return what is worth a line of its own: that a trial has begun, and how it ended."""
    if trial.state in ENDED:
        outcome = trial.message or _number(trial.value)
        return (
            f"trial {trial.number}{_named(trial)} {trial.state} after {trial.epochs} epochs: "
            f"{outcome}"
        )
    return f"trial {trial.number}{_named(trial)} begins" if trial.state == "running" else ""


def _named(trial: TrialLine) -> str:
    return f" ({trial.recipe})" if trial.recipe else ""


def _warnings(status: Status) -> list[Text]:
    return [Text(f"warning: {warning}", style="yellow") for warning in status.warnings]


def _best_lines(status: Status) -> list[Text]:
    if not status.scored:
        return [Text("no score: it trains on every labelled frame")]
    if status.best is None:
        return [Text("no complete trial yet")]
    classes = ", ".join(f"{name} {iou:.3f}" for name, iou in status.best.per_class.items())
    recipe = f" ({status.best.recipe})" if status.best.recipe else ""
    cut = ", unfinished" if status.best.unfinished else ""
    best = (
        f"best: trial {status.best.number}{recipe}{cut}, validation {status.score_words} "
        f"{status.best.score:.4f}; IoU by class: {classes}"
    )
    lines = [Text(f"score: {status.score}"), Text(best, style="bold")]
    if believed := status.best.believed:
        lines.append(Text(_expected(believed, is_control=status.best.number == CONTROL)))
    if len(status.front) > 1:
        lines.append(Text(_cheaper(status.front)))
    return lines


MOST_CHEAPER = 4  # that are named


def _cheaper(front: Sequence[Model]) -> str:
    first, *others = front
    shares = "; ".join(
        f"trial {each.number}, {each.multiply_adds / first.multiply_adds:.2f} times as many, "
        f"{each.mean - first.mean:+.4f}{_latency(each, ', {}')}"
        for each in others[:MOST_CHEAPER]
    )
    return (
        f"cheaper than trial {first.number} ({first.multiply_adds / 1e6:,.1f} million multiply-adds "
        f"a frame{_latency(first, ', {}')}): {shares}"
    )


def _latency(model: Model, within: str) -> str:
    return within.format(f"{1000 * model.latency_s:.3g} ms") if model.latency_s else ""


def _expected(believed: Believed, *, is_control: bool) -> str:
    against = ""
    if believed.beats_control is not None:
        against = f"; beats the control with {chance(believed.beats_control)}"
    elif is_control and believed.runs > 1:
        against = f"; no other beats it with more than {SURE:.0%}"
    return (
        f"expected of its network on other frames, by {believed.runs} runs: "
        f"{believed.mean:.4f} ± {believed.sd:.4f}{against}"
    )


def _over(study: Readable) -> bool:
    try:
        return is_over(study)
    except OUTAGES:
        return False


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
