"""A confirmation, from its options to the verdict."""

import json
import math
import shlex
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from objectives.bundle.belief_in_one import chance
from objectives.data.resplit import fold_problems
from objectives.errors import ProblemsError, UserError, condensed
from objectives.statistics.interval import Interval, Unknown
from search.cli.commands.confirm import ConfirmOptions
from search.cli.opened import opened_place
from search.confirm.confirmation import ChosenCandidate, Confirmation
from search.confirm.dealt_parts import parts_told
from search.confirm.standing import ConfirmationState, Standing, read_standing
from search.confirm.state import begin
from search.confirm.wanted import Asked
from search.export.restored import open_data
from search.machine.gpus import offer
from search.place import Place
from search.study.budget import Order, current_budget, is_over
from search.study.data_path import data_path
from search.study.stored import Study, open_study
from search.terminal.console import open_console
from search.terminal.how import How
from search.terminal.local import run_locally


def confirm(asked: ConfirmOptions) -> None:
    """Plan or go on with a confirmation, train it here, and print what it says."""
    if asked.as_json and asked.again:
        raise UserError("--json plans nothing: leave out either it or --again")
    offer(asked.device)  # refuses one that this host lacks, before any work
    with opened_place(asked.study, asked.storage, asked.artifacts, asked.home, asked.cache) as (
        searched,
        place,
    ):
        if asked.as_json:
            typer.echo(
                json.dumps(standing_json(read_standing(searched, place.storage)), allow_nan=False)
            )
            return
        wanted = Asked(asked.top, asked.seeds, asked.resplit, asked.folds)
        source = checked_source(searched, place, asked.data) if asked.data else ""
        if asked.folds:
            refuse_folds(searched, place, source, asked.folds)
        begun = begin(searched, place.storage, wanted, again=asked.again)
        for line in begun.lines:
            typer.echo(line)
        train(begun.name, place, asked.workers, asked.how, source)
        standing = read_standing(searched, place.storage)
        words = searched.spec.score_words
    if standing is not None:
        print_standing(standing, begun.name, words)


def checked_source(searched: Study, place: Place, data: str) -> str:
    """Return where the study's data lies on this host.

    Raises:
        ProblemsError: Nothing is there that can be read.
        UserError: For other data than the study's.
    """
    source = data_path(data)
    open_data(searched, place, source)
    return source


def refuse_folds(searched: Study, place: Place, source: str, folds: int) -> None:
    """Refuse more folds than the study's frames can be dealt into.

    Raises:
        ProblemsError: They are.
        UserError: For other data than the study's.
    """
    data = open_data(searched, place, source)
    if problems := list(fold_problems(data, folds, searched.spec.seed)):
        raise ProblemsError(f"study {searched.spec.name!r}", condensed(problems))


def train(name: str, place: Place, workers: int, how: How, source: str) -> None:
    """Run so many workers on a confirmation, unless it is over; without any, say how to
    start one.
    """
    confirming = open_study(place.storage, name)
    order = current_budget(confirming).order
    over = is_over(confirming)
    confirming.close()
    if order is not Order.RUNNING:
        typer.echo(f"study {name!r} is {order}: search resume --study {shlex.quote(name)}")
    if over:
        return
    if workers:
        run_locally(name, place, workers=workers, how=how, source=source)
    else:
        words = ["search", "worker", "--study", name, *(["--data", source] if source else [])]
        typer.echo(f"workers for it: {shlex.join(words)}")


def standing_json(standing: Standing | None) -> dict[str, Any]:
    """Return how far the confirmation is and what it says, as scripts read it; what is not known is
    null.
    """
    if standing is None:
        nothing: dict[str, Any] = {
            "candidates": [],
            "choice": None,
            "control": 0,
            "missing_runs": 0,
            "parts": [],
        }
        return {"study": None, "state": ConfirmationState.NONE, **nothing, "remarks": []}
    verdict = (
        confirmation_json(standing.verdict)
        if standing.verdict
        else {"candidates": [], "choice": None, "control": 0}
    )
    chosen = {} if standing.choice else {"choice": None}
    head = {"study": standing.study, "state": standing.state}
    parts = list(parts_told(standing.runs, folds=bool(standing.plan.folds)))
    return {
        **head,
        **verdict,
        **chosen,
        "missing_runs": standing.missing,
        "remarks": list(standing.remarks),
        "parts": parts,
    }


def confirmation_json(verdict: Confirmation) -> dict[str, Any]:
    """Return the verdict as scripts read it; what is not known is null."""
    candidates = [
        {
            **asdict(each),
            "interval": _bounds(each.interval),
            "beats_control": _known(each.beats_control),
            "per_class": {
                name: value for name, value in each.per_class.items() if not math.isnan(value)
            },
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


def print_standing(standing: Standing, trained: str, words: str) -> None:
    """Print what a confirmation says so far, and what keeps it from being whole; ``trained`` may be
    one that it replaced, and ``words`` what a score is.
    """
    console = open_console()
    if standing.study != trained:
        console.print(
            f"Study {trained!r} does not count any more: study {standing.study!r} was planned anew "
            f"meanwhile."
        )
    if standing.verdict:
        console.print(candidate_table(standing.verdict, words))
    if standing.choice and standing.verdict:
        print_choice(console, standing.choice, standing.verdict.control, words)
    parts = parts_told(standing.runs, folds=bool(standing.plan.folds))
    for line in (*parts, *standing.remarks):
        console.print(line)


def candidate_table(verdict: Confirmation, words: str) -> Table:
    """Return a row for each candidate, the highest mean first."""
    names = sorted({name for each in verdict.candidates for name in each.per_class})
    table = Table(
        "trial",
        "runs",
        words,
        "95 % interval",
        "beats the control",
        *names,
        box=None,
        pad_edge=False,
    )
    for each in verdict.candidates:
        trial = (
            f"{each.candidate} (control)"
            if each.candidate == verdict.control
            else str(each.candidate)
        )
        classes = [
            f"{each.per_class[name]:.3f}" if name in each.per_class else "-" for name in names
        ]
        beats = _percent(each.beats_control)
        table.add_row(
            trial, str(each.runs), f"{each.mean:.4f}", _shown(each.interval), beats, *classes
        )
    return table


def print_choice(console: Console, choice: ChosenCandidate, control: int, words: str) -> None:
    """Print which candidate to take, and what to expect of it."""
    tied = [str(number) for number in choice.tied if number != choice.candidate]
    why = (
        f", the cheapest of those that are as good for all that is known (also {', '.join(tied)})"
        if tied
        else ""
    )
    console.print(f"choice: trial {choice.candidate}{why}")
    beats = (
        ""
        if choice.candidate == control
        else f"; it beats the control with {_percent(choice.beats_control)}"
    )
    console.print(
        f"expect a {words} of {choice.expected:.4f} ({_shown(choice.interval)}) on validation "
        f"parts like these{beats}"
    )


def _bounds(interval: Interval | Unknown) -> list[float] | None:
    return [*interval.of_shares()] if isinstance(interval, Interval) else None


def _known(value: float | Unknown) -> float | None:
    return value if isinstance(value, float) else None


def _shown(interval: Interval | Unknown) -> str:
    return (
        "{:.4f} to {:.4f}".format(*interval.of_shares()) if isinstance(interval, Interval) else "-"
    )


def _percent(probability: float | Unknown) -> str:
    return chance(probability) if isinstance(probability, float) else "-"
