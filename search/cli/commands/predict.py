"""``search predict``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from objectives.program.settings import FlipsWanted
from search.cli.action import done_by
from search.cli.options import BundleDir, Device, Force

EngineChoice = Literal["auto", "torch", "onnx"]


@done_by("search.cli.actions.predict.predict")
def command(
    bundle: BundleDir,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="npz with test_set, a folder of images, or one image; also in a bucket: s3://BUCKET/PREFIX.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="masks.npz, submission.csv (Kaggle), or a folder for PNGs."),
    ],
    device: Device = "auto",
    engine: Annotated[
        EngineChoice,
        typer.Option(
            "--engine", help="torch, or onnx on the CPU; auto: torch where it is installed."
        ),
    ] = "auto",
    flips: Annotated[
        FlipsWanted,
        typer.Option(
            "--flips", help="Average over flipped frames; auto: as the bundle was exported."
        ),
    ] = "auto",
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write each class's probability: NAME.probabilities.tif, or an array of the npz.",
        ),
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also write entropy and the disagreement of members, 0..1: NAME.uncertainty.tif, or arrays of the npz.",
        ),
    ] = False,
    force: Force = False,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Leave out images that cannot be used, name them, and end with exit code 1.",
        ),
    ] = False,
) -> None:
    """Label new images with a bundle. Without torch, ONNX Runtime does it.

    Every image is read first: those that cannot be used are all named before anything is computed.

    \b
    Example:
      search predict out frames.npz --out submission.csv
    """
