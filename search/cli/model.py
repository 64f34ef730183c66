"""Commands on a finished model: export-best, predict, evaluate."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from search.cli.options import Artifacts, Cache, Device, Force, Home, Json, Storage, StudyName
from search.place import open_database, open_place

if TYPE_CHECKING:
    import torch

    from objectives.bundle.evaluate import BundleEvaluation
    from objectives.bundle.provenance import PartScore, Provenance

FlipsChoice = Literal["auto", "on", "off"]
RetrainChoice = Literal["none", "all"]
EngineChoice = Literal["auto", "torch", "onnx"]
BundleDir = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that `search export-best` wrote.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    app.command("export-best")(export_best)
    app.command("predict")(predict)
    app.command("evaluate")(evaluate)


def export_best(
    study: StudyName = "default",
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")] = Path("out"),
    storage: Storage = "",
    artifacts: Artifacts = "",
    data: Annotated[str, typer.Option("--data", help="The study's data on this host, where it lies elsewhere.")] = "",
    force: Force = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Open the sealed test part; every look is counted.")] = True,
    flips: Annotated[
        FlipsChoice,
        typer.Option("--flips", help="Average over flipped frames; auto: only if that raises the validation score."),
    ] = "off",
    ensemble: Annotated[
        str,
        typer.Option(
            "--ensemble",
            help="Average at most so many of the study's runs; rare: the best and the best on the rarest class; "
            "stack: a second model over the best four.",
        ),
    ] = "",
    ensemble_of: Annotated[
        str,
        typer.Option("--ensemble-of", help="Average these trials evenly, by number or recipe, like 3,7 or B16,B17."),
    ] = "",
    ensemble_anyway: Annotated[
        bool, typer.Option("--ensemble-anyway", help="Export the ensemble even where it is judged no better than its best run.")
    ] = False,
    trial: Annotated[
        int | None,
        typer.Option("--trial", help="Export this trial, as the search scored it: the control (0), or one of the best five."),
    ] = None,
    retrain: Annotated[
        RetrainChoice,
        typer.Option("--retrain", help="all: export the config trained once more on every labelled frame, which has no score."),
    ] = "none",
    device: Device = "auto",
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Write the best trial's model as a bundle, and check it after writing: same score, same masks from ONNX and torch.export.

    An ensemble is chosen on one half of the validation places and judged on the other, both ways round. One that is not judged
    better than the best single run is not exported: both scores are said, and the exit code is 1. --ensemble-of judges an
    average of trials that you name in the same way.
    --device is where --retrain trains. Scores that come from a GPU are checked on one, where this host has one with memory
    left, all others on the CPU.

    \b
    Example:
      search export-best --study mars --storage postgresql://user@host/db --artifacts /shared/artifacts --out out
      search export-best --study mars --ensemble 4 --out ensemble
      search export-best --study mars --retrain all --out final
    """
    from objectives.bundle.files import refuse_taken
    from search.cli.study import refuse_missing_gpu
    from search.database.connections import reachable
    from search.export import best as export
    from search.export.ensemble_choice import parse_ensemble
    from search.study.stored import open_study

    choice = parse_ensemble(ensemble, ensemble_of, anyway=ensemble_anyway)
    refuse_missing_gpu(device)
    refuse_taken(out, force=force)
    with open_place(storage, artifacts, home, cache) as place, reachable(place.storage):
        opened = open_study(place.storage, study)
        provenance = export.export_best(
            opened,
            place,
            out,
            source=data,
            force=force,
            test=test,
            flips=flips,
            trial=trial,
            ensemble=choice,
            retrain=retrain,
            device=device,
        )
        names = open_names(out)
        opened.close()
    print_export(out, provenance, names)


def predict(
    bundle: BundleDir,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="npz with test_set, or a folder of images.")],
    out: Annotated[Path, typer.Option("--out", help="masks.npz, submission.csv (Kaggle), or a folder for PNGs.")],
    device: Device = "auto",
    engine: Annotated[
        EngineChoice, typer.Option("--engine", help="torch, or onnx on the CPU; auto: torch where it is installed.")
    ] = "auto",
    flips: Annotated[
        FlipsChoice, typer.Option("--flips", help="Average over flipped frames; auto: as the bundle was exported.")
    ] = "auto",
    force: Force = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be used, name them, and end with exit code 1.")
    ] = False,
) -> None:
    """Label new images with a bundle. Without torch, ONNX Runtime does it.

    Every image is read first: those that cannot be used are all named before anything is computed.

    \b
    Example:
      search predict out frames.npz --out submission.csv
    """
    from objectives.errors import Problem
    from objectives.output_place import is_stream
    from objectives.predict import masks as predicting
    from objectives.predict.checks import refuse_bad
    from objectives.predict.engines import torch_is_there

    left_out: list[Problem] = []

    def leave_out(_: str, problems: Sequence[Problem]) -> None:
        left_out[:] = problems  # not those of a GPU that then had no memory, too

    on_bad = leave_out if skip_bad else refuse_bad
    label = partial(predicting.predict, bundle, source, out, flips=flips, force=force, on_bad=on_bad)
    by_torch = engine == "torch" or (engine == "auto" and torch_is_there())
    if by_torch:
        on = torch_device(device)  # before anything that imports torch: without it, that is said in one line
        from objectives.device.fallback import gpu_or_cpu

        count = gpu_or_cpu(on, lambda each: label(device=str(each)))
    else:
        count = label(engine="onnx", device=device)
    typer.echo(f"{count} masks written to {out}{'' if by_torch else ' (by ONNX Runtime)'}", err=is_stream(out))
    for problem in left_out:
        typer.echo(f"left out: {problem}", err=True)
    if left_out:
        raise typer.Exit(1)


def evaluate(
    bundle: BundleDir,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled frames: npz, or folder with images/ and masks/.")],
    split: Annotated[
        str, typer.Option("--split", help="Which of its own study's frames count: validation or test.")
    ] = "validation",
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="New folder for PNGs: the worst frames, confusion, reliability.")
    ] = None,
    as_json: Json = False,
    device: Device = "auto",
    storage: Storage = "",
    home: Home = None,
) -> None:
    """Score a bundle on labelled frames; of its own study's frames only the validation part counts.

    \b
    Example:
      search evaluate out frames.npz --json
      search evaluate out frames.npz --pictures worst
    """
    from objectives.errors import UserError

    if split not in ("validation", "test"):
        raise UserError(f"--split must be validation or test, got {split!r}")
    on = torch_device(device)  # before anything that imports torch: without it, that is said in one line
    from objectives.bundle.evaluate import evaluate_bundle
    from objectives.device.fallback import gpu_or_cpu
    from objectives.pictures.evaluation import refuse_pictures_folder

    if pictures is not None:
        refuse_pictures_folder(pictures)
    if split == "validation":
        found = gpu_or_cpu(on, lambda each: evaluate_bundle(bundle, data, device=each))
        show_evaluation(found, pictures, as_json=as_json)
        return
    from objectives.bundle.bundle_folder import load_bundle
    from search.database.connections import reachable
    from search.study.looks import count_look
    from search.study.spec import refuse_namesake
    from search.study.stored import open_study

    with open_database(storage, home) as url, reachable(url):
        made = load_bundle(bundle).provenance
        opened = open_study(url, made.study)  # no look without its count
        refuse_namesake(opened.spec, made.data)
        found = gpu_or_cpu(on, lambda each: evaluate_bundle(bundle, data, split="test", device=each))
        if found.looked_at_test:
            count_look(opened)
        opened.close()
    show_evaluation(found, pictures, as_json=as_json)


def torch_device(name: str) -> "torch.device":
    """Return the torch device of a ``--device`` value, its number counted in PCI order as the driver does.

    Raises: UserError when this host has none such, or no torch; WorldError when the driver or all its cards do not answer.
    """
    from objectives.errors import UserError
    from objectives.predict.engines import torch_is_there
    from search.machine.gpus import offer

    if not torch_is_there():
        raise UserError("torch is not installed here: install it; only `search predict --engine onnx` does without")
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # before the first CUDA call of this process
    import torch

    count, number = torch.cuda.device_count(), int(name.partition(":")[2] or 0)
    if name == "auto":
        if not count and offer(name).gpus:
            typer.echo("search: the driver lists GPUs and torch sees none: on the CPU; `search doctor` says why", err=True)
        return torch.device("cuda" if count else "cpu")
    if name != "cpu" and number >= count:
        raise UserError(f"--device {name}: torch sees {count} GPU(s) here, counted from 0; use --device cpu")
    return torch.device(name)


def open_names(bundle: Path) -> tuple[str, ...]:
    """The class names of a bundle."""
    return tuple(json.loads((bundle / "metrics.json").read_text(encoding="utf-8"))["class_names"])


def print_export(out: Path, provenance: "Provenance", names: tuple[str, ...]) -> None:
    """Say what was exported: where, and its scores on validation and sealed test."""
    from rich.table import Table

    from objectives.bundle.provenance import NO_TEST
    from search.terminal.console import open_console

    parts = {"validation": provenance.validation} | ({"sealed test": provenance.test} if provenance.test else {})
    table = Table("IoU", *parts, box=None, pad_edge=False)
    table.add_row("mean", *[f"{part.score:.4f}" for part in parts.values()])
    if any(part.interval for part in parts.values()):
        table.add_row("95 %", *[_interval(part) for part in parts.values()])
    for k, name in enumerate(names):
        values = [part.iou[k] for part in parts.values()]
        if any(value is not None for value in values):
            table.add_row(name, *["-" if value is None else f"{value:.4f}" for value in values])
    console = open_console()
    console.print(f"bundle of {provenance.title} (out of {provenance.trials} trials), checked after writing: {out.resolve()}")
    console.print(table)
    for name, part in parts.items():
        if part.left_out:
            console.print(f"note: the score on {name} is a {part.left_out}")
        if part.no_interval:
            console.print(f"note: no interval of the mean on {name}: {part.no_interval}")
    console.print(str(provenance.belief))
    if provenance.confirmation:
        console.print(provenance.confirmation_then)
    if provenance.flips:
        console.print(str(provenance.flips))
    if provenance.retrained:
        console.print(str(provenance.retrained))
    if not provenance.has_test:
        console.print(NO_TEST)
    elif provenance.retrained and not provenance.test:
        console.print("The sealed test part was not opened for the model before: there is no score of it, and will be none.")
    if provenance.test:
        console.print(
            f"The sealed test part has been looked at {provenance.test_looks} time(s), over all studies that seal it."
        )


def _interval(part: "PartScore") -> str:
    return f"{part.interval[0]:.4f} to {part.interval[1]:.4f} ({part.places} places)" if part.interval else "-"


def show_evaluation(found: "BundleEvaluation", pictures: Path | None, *, as_json: bool) -> None:
    """Print a bundle's scores on labelled frames, and draw them to a folder when one is given.

    Scores come first: where the folder cannot be written after all, a look at the test part was not in vain.
    """
    from objectives.pictures.evaluation import write_pictures
    from search.cli.evaluation_text import evaluation_json, print_evaluation

    if as_json:
        typer.echo(json.dumps(evaluation_json(found), allow_nan=False))
    else:
        print_evaluation(found)
    if pictures is not None:
        count = write_pictures(found, pictures)
        typer.echo(f"{count} pictures written to {pictures}", err=as_json)
