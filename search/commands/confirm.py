"""``search confirm``: the best trials and the control again, with other seeds, and what that says of them."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.commands.options import Artifacts, Cache, Device, Home, Storage, StudyName, open_place

if TYPE_CHECKING:
    from objectives.interval import Interval, Unknown
    from search.confirmation import Confirmation


def register(app: typer.Typer) -> None:
    """Add this module's command to the program."""
    app.command("confirm")(confirm)


def confirm(
    study: StudyName = "default",
    top: Annotated[int, typer.Option("--top", min=1, max=100, help="How many of the best trials, beside the control.")] = 5,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="How often each is trained.")] = 3,
    resplit: Annotated[
        bool, typer.Option("--resplit/--no-resplit", help="Deal training and validation anew for each seed but the first.")
    ] = True,
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=256, help="Worker processes on this host; 0: only write the study.")
    ] = 1,
    device: Device = "auto",
    storage: Storage = "",
    artifacts: Artifacts = "",
    home: Home = None,
    cache: Cache = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is confirmed so far, and train nothing.")] = False,
) -> None:
    """Train the best trials and the control again with other seeds, and say which of them is best and by how much.

    The runs are a study of their own, STUDY/confirm, which other workers may join. Interrupted, the same command goes on;
    at its end, `search export-best` takes the confirmed winner.

    \b
    Example:
      search confirm --study mars --top 5 --seeds 3 --workers 2
    """
    from search.commands.study import refuse_missing_gpu
    from search.confirm import cells, confirm_name, plan, write_plan
    from search.confirmation import confirm as judge
    from search.dealt_parts import parts_told
    from search.local import run_locally
    from search.sampling import CONTROL
    from search.storage import reachable
    from search.study import open_study

    refuse_missing_gpu(device)
    with open_place(storage, artifacts, home, cache) as place, reachable(place.storage):
        searched = open_study(place.storage, study)
        said = write_plan(place.storage, plan(searched, top=top, seeds=seeds, resplit=resplit))
        searched.close()
        typer.echo(said, err=as_json)
        name = confirm_name(study)
        if workers and not as_json:
            run_locally(name, place, workers=workers, device=device)
        else:
            typer.echo(f"workers for it: search worker --study {name}", err=as_json)
        confirming = open_study(place.storage, name)
        found = cells(confirming)
        missing = confirming.spec.trials - sum(cell.score == cell.score for cell in found)
        confirming.close()
    if not any(cell.score == cell.score for cell in found):
        return
    verdict = judge(found, CONTROL)
    if as_json:
        answer = confirmation_json(verdict, missing) | {"parts": list(parts_told(found))}
        typer.echo(json.dumps(answer, allow_nan=False))
    else:
        print_confirmation(verdict, missing)
        for line in parts_told(found):
            typer.echo(line)


def confirmation_json(verdict: "Confirmation", missing: int) -> dict[str, Any]:
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
    return {"candidates": candidates, "choice": chosen, "control": verdict.control, "missing_runs": missing}


def print_confirmation(verdict: "Confirmation", missing: int) -> None:
    """Print a row for each candidate, and the choice in words."""
    from rich.table import Table

    from search.terminal import open_console

    names = sorted({name for each in verdict.candidates for name in each.per_class})
    table = Table("trial", "runs", "mean IoU", "95 % interval", "beats the control", *names, box=None, pad_edge=False)
    for each in verdict.candidates:
        trial = f"{each.candidate} (control)" if each.candidate == verdict.control else str(each.candidate)
        classes = [f"{each.per_class[name]:.3f}" if name in each.per_class else "-" for name in names]
        beats = _percent(each.beats_control)
        table.add_row(trial, str(each.runs), f"{each.mean:.4f}", _shown(each.interval), beats, *classes)
    console = open_console()
    console.print(table)
    choice = verdict.choice
    tied = [str(number) for number in choice.tied if number != choice.candidate]
    why = f", the cheapest of those that are as good for all that is known (also {', '.join(tied)})" if tied else ""
    console.print(f"choice: trial {choice.candidate}{why}")
    beats = "" if choice.candidate == verdict.control else f"; it beats the control with {_percent(choice.beats_control)}"
    console.print(
        f"expect a mean IoU of {choice.expected:.4f} ({_shown(choice.interval)}) on validation parts like these{beats}"
    )
    if missing:
        console.print(f"{missing} run(s) have no score (yet)")


def _bounds(interval: "Interval | Unknown") -> list[float] | None:
    from objectives.interval import Interval

    return [interval.low, interval.high] if isinstance(interval, Interval) else None


def _known(value: "float | Unknown") -> float | None:
    return value if isinstance(value, float) else None


def _shown(interval: "Interval | Unknown") -> str:
    from objectives.interval import Interval

    return f"{max(0.0, interval.low):.4f} to {min(1.0, interval.high):.4f}" if isinstance(interval, Interval) else "-"


def _percent(probability: "float | Unknown") -> str:
    return f"{100 * probability:.0f} %" if isinstance(probability, float) else "-"
