"""``search export-best``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from objectives.program.settings import FlipsWanted
from search.cli.action import done_by, with_options
from search.cli.options import Artifacts, Cache, DataHere, Device, Force, Home, Storage, StudyName

RetrainChoice = Literal["none", "all"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which model is exported, and how."""

    study: StudyName = "default"
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")] = Path("out")
    storage: Storage = ""
    artifacts: Artifacts = ""
    data: DataHere = ""
    force: Force = False
    test: Annotated[
        bool,
        typer.Option("--test/--no-test", help="Open the sealed test part; every look is counted."),
    ] = True
    flips: Annotated[
        FlipsWanted,
        typer.Option(
            "--flips",
            help="Average over flipped frames; auto: only if that is truly better with more than 80 %.",
        ),
    ] = "off"
    ensemble: Annotated[
        str,
        typer.Option(
            "--ensemble",
            help="Average at most so many of the study's runs; rare: the best and the best on the "
            "rarest class; "
            "stack: a second model over the best four.",
        ),
    ] = ""
    ensemble_of: Annotated[
        str,
        typer.Option(
            "--ensemble-of",
            help="Average these trials evenly, by number or recipe, like 3,7 or B16,B17.",
        ),
    ] = ""
    ensemble_anyway: Annotated[
        bool,
        typer.Option(
            "--ensemble-anyway",
            help="Export the ensemble also where it is not better than the single model with 80 %.",
        ),
    ] = False
    ensemble_searched: Annotated[
        bool,
        typer.Option(
            "--ensemble-searched",
            help="Combine the search's own trials also where a confirmation has runs.",
        ),
    ] = False
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial",
            help="Export this trial, as the search scored it: the control (0), or one of the best "
            "eight.",
        ),
    ] = None
    within: Annotated[
        float,
        typer.Option(
            "--within",
            help="Export the cheapest model that is within so much of the best with 80 %, like "
            "0.01; 0: the best.",
        ),
    ] = 0.0
    retrain: Annotated[
        RetrainChoice,
        typer.Option(
            "--retrain",
            help="all: export the config trained once more on every labelled frame, which has no "
            "score.",
        ),
    ] = "none"
    device: Device = "auto"
    home: Home = None
    cache: Cache = None


@with_options(ExportOptions)
@done_by("search.cli.actions.export.export_best")
def command(asked: ExportOptions) -> None:
    """Write the best trial's model as a bundle, and check it after writing: same score, same masks from ONNX and torch.export.

    An ensemble is weighed against the single model: by what is believed of its members, and what it gains over them on the
    validation places. One that is not truly better with more than 80 % is not exported: what is expected of it is said, and the
    exit code is 1. --ensemble-of weighs an average of trials that you name in the same way. Of a confirmed study the runs of
    the confirmation are combined, with --ensemble-searched the search's trials.
    --device is where --retrain trains. Scores that come from a GPU are checked on one, where this host has one with memory
    left, all others on the CPU.

    \b
    Example:
      search export-best --study mars --storage postgresql://user@host/db --artifacts /shared/artifacts --out out
      search export-best --study mars --within 0.01 --out small
      search export-best --study mars --ensemble 4 --out ensemble
      search export-best --study mars --retrain all --out final
    """
