"""``search confirm``: the best trials and the control again, with other seeds, and what that says of them."""

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.errors import UserError
from search.cli.options import Artifacts, Cache, Device, Home, Storage, StudyName
from search.place import Place, open_place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from objectives.statistics.interval import Interval, Unknown
    from search.confirm.standing import Standing
    from search.confirm.verdict import Choice, Confirmation
    from search.study.stored import Study


def register(app: typer.Typer) -> None:
    """Add this module's command to the program."""
    app.command("confirm")(confirm)


def confirm(
    study: StudyName = "default",
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, max=100, help="How many of the best trials, beside the control.  [default: 5]"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=100, help="How often each is trained.  [default: 3]")
    ] = None,
    resplit: Annotated[
        bool | None,
        typer.Option(
            "--resplit/--no-resplit",
            help="Deal training and validation anew for each seed but the first.  [default: resplit]",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Plan anew from the best trials of now, with the options of before if not given.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=256, help="Worker processes on this host; 0: only write the study.")
    ] = 1,
    device: Device = "auto",
    data: Annotated[str, typer.Option("--data", help="The study's data on this host, where it lies elsewhere.")] = "",
    storage: Storage = "",
    artifacts: Artifacts = "",
    home: Home = None,
    cache: Cache = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what is confirmed so far; plan, train and write nothing.")
    ] = False,
) -> None:
    """Train the best trials and the control again with other seeds, and say which of them is best and by how much.

    The runs are a study of their own, STUDY/confirm, which other workers may join. Interrupted, the same command goes on,
    whatever the search has found since; runs without a score are trained again, unless they diverged. With --again another
    study, STUDY/confirm-2 and so on, takes its place. Once each candidate has ended its run with the first seed,
    `search export-best` takes the confirmed winner.

    \b
    Example:
      search confirm --study mars --top 5 --seeds 3 --workers 2
    """
    from search.cli.study import refuse_missing_gpu
    from search.confirm.standing import read_standing
    from search.confirm.state import Asked, begin
    from search.database.connections import reachable
    from search.study.stored import open_study

    if as_json and again:
        raise UserError("--json plans nothing: leave out either it or --again")
    refuse_missing_gpu(device)
    with open_place(storage, artifacts, home, cache) as place, reachable(place.storage):
        searched = open_study(place.storage, study)
        try:
            if as_json:
                typer.echo(json.dumps(standing_json(read_standing(searched, place.storage)), allow_nan=False))
                return
            source = checked_source(searched, place, data) if data else ""
            begun = begin(searched, place.storage, Asked(top, seeds, resplit), again=again)
            for line in begun.lines:
                typer.echo(line)
            train(begun.name, place, workers, device, source)
            standing = read_standing(searched, place.storage)
        finally:
            searched.close()
    if standing is not None:
        print_standing(standing, begun.name)


def checked_source(searched: "Study", place: Place, data: str) -> str:
    """Return where the study's data lies on this host.

    Raises: ProblemsError when nothing is there that can be read; UserError for other data than the study's.
    """
    from search.export.restored import open_data
    from search.study.spec import data_path

    source = data_path(data)
    open_data(searched, place, source)
    return source


def train(name: str, place: Place, workers: int, device: str, source: str) -> None:
    """Run so many workers on a confirmation, unless it is over; without any, say how to start one."""
    from search.study.budget import Order, current_budget, is_over
    from search.study.stored import open_study
    from search.terminal.local import run_locally

    confirming = open_study(place.storage, name)
    order, over = current_budget(confirming).order, is_over(confirming)
    confirming.close()
    if order is not Order.RUNNING:
        typer.echo(f"study {name!r} is {order}: search resume --study {shlex.quote(name)}")
    if over:
        return
    if workers:
        run_locally(name, place, workers=workers, device=device, source=source)
    else:
        words = ["search", "worker", "--study", name, *(["--data", source] if source else [])]
        typer.echo(f"workers for it: {shlex.join(words)}")


def standing_json(standing: "Standing | None") -> dict[str, Any]:
    """How far the confirmation is and what it says, as scripts read it; what is not known is null."""
    from search.confirm.dealt_parts import parts_told
    from search.confirm.standing import State

    if standing is None:
        nothing: dict[str, Any] = {"candidates": [], "choice": None, "control": 0, "missing_runs": 0, "parts": []}
        return {"study": None, "state": State.NONE, **nothing, "remarks": []}
    found = confirmation_json(standing.verdict) if standing.verdict else {"candidates": [], "choice": None, "control": 0}
    chosen = {} if standing.choice else {"choice": None}
    told = {"study": standing.study, "state": standing.state}
    parts = list(parts_told(standing.runs))
    return {**told, **found, **chosen, "missing_runs": standing.missing, "remarks": list(standing.remarks), "parts": parts}


def confirmation_json(verdict: "Confirmation") -> dict[str, Any]:
    """The verdict as scripts read it; what is not known is null."""
    candidates = [
        {
            **asdict(each),
            "interval": _bounds(each.interval),
            "beats_control": _known(each.beats_control),
            "per_class": {name: value for name, value in each.per_class.items() if value == value},
        }
        for each in verdict.candidates
    ]
    choice = verdict.choice
    chosen = {
        **asdict(choice),
        "interval": _bounds(choice.interval),
        "beats_control": _known(choice.beats_control),
    }
    return {"candidates": candidates, "choice": chosen, "control": verdict.control}


def print_standing(standing: "Standing", trained: str) -> None:
    """Print what a confirmation says so far, and what keeps it from being whole; ``trained`` may be one that it replaced."""
    from search.confirm.dealt_parts import parts_told
    from search.terminal.console import open_console

    console = open_console()
    if standing.study != trained:
        console.print(f"Study {trained!r} does not count any more: study {standing.study!r} was planned anew meanwhile.")
    if standing.verdict:
        console.print(candidate_table(standing.verdict))
    if standing.choice and standing.verdict:
        print_choice(console, standing.choice, standing.verdict.control)
    for line in (*parts_told(standing.runs), *standing.remarks):
        console.print(line)


def candidate_table(verdict: "Confirmation") -> "Table":
    """A row for each candidate, the highest mean first."""
    from rich.table import Table

    names = sorted({name for each in verdict.candidates for name in each.per_class})
    table = Table("trial", "runs", "mean IoU", "95 % interval", "beats the control", *names, box=None, pad_edge=False)
    for each in verdict.candidates:
        trial = f"{each.candidate} (control)" if each.candidate == verdict.control else str(each.candidate)
        classes = [f"{each.per_class[name]:.3f}" if name in each.per_class else "-" for name in names]
        beats = _percent(each.beats_control)
        table.add_row(trial, str(each.runs), f"{each.mean:.4f}", _shown(each.interval), beats, *classes)
    return table


def print_choice(console: "Console", choice: "Choice", control: int) -> None:
    """Print which candidate to take, and what to expect of it."""
    tied = [str(number) for number in choice.tied if number != choice.candidate]
    why = f", the cheapest of those that are as good for all that is known (also {', '.join(tied)})" if tied else ""
    console.print(f"choice: trial {choice.candidate}{why}")
    beats = "" if choice.candidate == control else f"; it beats the control with {_percent(choice.beats_control)}"
    console.print(
        f"expect a mean IoU of {choice.expected:.4f} ({_shown(choice.interval)}) on validation parts like these{beats}"
    )


def _bounds(interval: "Interval | Unknown") -> list[float] | None:
    from objectives.statistics.interval import Interval

    return [*interval.of_shares()] if isinstance(interval, Interval) else None


def _known(value: "float | Unknown") -> float | None:
    return value if isinstance(value, float) else None


def _shown(interval: "Interval | Unknown") -> str:
    from objectives.statistics.interval import Interval

    return "{:.4f} to {:.4f}".format(*interval.of_shares()) if isinstance(interval, Interval) else "-"


def _percent(probability: "float | Unknown") -> str:
    return f"{100 * probability:.0f} %" if isinstance(probability, float) else "-"
