"""A bundle's scores on labelled frames."""

import json
from pathlib import Path

import torch
import typer

from objectives.bundle.bundle_folder import load_bundle
from objectives.bundle.evaluate import BundleEvaluation, evaluate_bundle
from objectives.device.fallback import gpu_or_cpu
from objectives.errors import UserError
from objectives.pictures.evaluation import refuse_pictures_folder, write_pictures
from search.cli.evaluation_text import evaluation_json, print_evaluation
from search.cli.found_here import found_here
from search.cli.opened import opened_study
from search.cli.torch_device import torch_device
from search.study.looks import count_look
from search.study.spec import refuse_namesake


def evaluate(
    bundle: Path,
    data: str,
    split: str,
    pictures: Path | None,
    device: str,
    storage: str,
    home: Path | None,
    *,
    own_size: bool,
    as_json: bool,
) -> None:
    """Print them, and draw them."""
    if split not in ("validation", "test"):
        raise UserError(f"--split must be validation or test, got {split!r}")
    on = torch_device(device)
    if pictures is not None:
        refuse_pictures_folder(pictures)
    data = found_here(data)
    if split == "validation":
        evaluation = gpu_or_cpu(
            on, lambda each: evaluate_bundle(bundle, data, own_size=own_size, device=each)
        )
    else:
        evaluation = look_at_test(bundle, data, on, storage, home, own_size=own_size)
    show_evaluation(evaluation, pictures, as_json=as_json)


def look_at_test(
    bundle: Path,
    data: str,
    on: torch.device,
    storage: str,
    home: Path | None,
    *,
    own_size: bool,
) -> BundleEvaluation:
    """Score a bundle on frames of its study's sealed test part, and count the look."""
    made = load_bundle(bundle).provenance
    with opened_study(made.study, storage, home) as (opened, _):  # no look without its count
        refuse_namesake(opened.spec, made.data)
        evaluation = gpu_or_cpu(
            on,
            lambda each: evaluate_bundle(
                bundle, data, split="test", own_size=own_size, device=each
            ),
        )
        if evaluation.looked_at_test:
            count_look(opened)
    return evaluation


def show_evaluation(evaluation: BundleEvaluation, pictures: Path | None, *, as_json: bool) -> None:
    """Print a bundle's scores on labelled frames, and draw them to a folder when one is given.

    Scores come first: where the folder cannot be written after all, a look at the test part was not
    in vain.
    """
    if as_json:
        typer.echo(json.dumps(evaluation_json(evaluation), allow_nan=False))
    else:
        print_evaluation(evaluation)
    if pictures is not None:
        count = write_pictures(evaluation, pictures)
        typer.echo(f"{count} pictures written to {pictures}", err=as_json)
