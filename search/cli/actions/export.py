"""A model out of a study: export-best, demo."""

import sys
import time
from pathlib import Path

import typer

from objectives.bundle.files import refuse_taken
from search.cli.commands.export_best import ExportOptions
from search.cli.export_text import print_export
from search.cli.opened import opened_place
from search.cli.written import written_study
from search.export import best
from search.export.ensemble_choice import parse_ensemble
from search.machine.gpus import offer
from search.study.setup import Request
from search.study.stored import open_study
from search.terminal.local import run_locally


def export_best(asked: ExportOptions) -> None:
    """Write a bundle, and print its scores."""
    choice = parse_ensemble(
        asked.ensemble,
        asked.ensemble_of,
        anyway=asked.ensemble_anyway,
        searched=asked.ensemble_searched,
    )
    wanted = best.ExportRequest(
        source=asked.data,
        force=asked.force,
        test=asked.test,
        flips=asked.flips,
        trial=asked.trial,
        ensemble=choice,
        retrain=asked.retrain,
        device=asked.device,
        within=asked.within,
    )
    offer(asked.device)  # refuses one that this host lacks
    refuse_taken(asked.out, force=asked.force)
    with opened_place(asked.study, asked.storage, asked.artifacts, asked.home, asked.cache) as (
        study,
        place,
    ):
        provenance = best.export_best(study, place, asked.out, wanted)
    print_export(asked.out, provenance)


def demo(out: Path, trials: int, workers: int, home: Path | None, *, force: bool) -> None:
    """Go the whole way with generated terrain."""
    refuse_taken(out, force=force)  # before minutes of work
    offer("auto")
    name = time.strftime("demo-%Y%m%d-%H%M%S")
    request = Request(name=name, source="synthetic", space="tiny", trials=trials)
    with written_study(request, "", "", home, None) as place:
        run_locally(name, place, workers=workers)
        opened = open_study(place.storage, name)
        provenance = best.export_best(opened, place, out, best.ExportRequest(force=force))
        opened.close()
    print_export(out, provenance)
    command = sys.argv[0]
    where = f" --home {home}" if home else ""
    typer.echo(f"\nLook at its trials:    {command} dashboard{where}")
    typer.echo(f"                       and open http://127.0.0.1:8080/dashboard (study {name})")
    typer.echo(f"Label frames with it:  {command} predict {out} synthetic --out masks.npz")
