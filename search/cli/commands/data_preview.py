"""``search data preview``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from search.cli.action import done_by, with_options
from search.cli.options import (
    MOST_SEED,
    Cache,
    ChannelsChoice,
    ExifChoice,
    Force,
    Home,
    Ignore,
    Size,
    Source,
    Window,
)


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """Which frames are drawn, and how they are augmented."""

    source: Source
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")] = Path("preview.png")
    intensity: Annotated[
        float, typer.Option("--intensity", min=0.0, max=1.0, help="Augmentation intensity.")
    ] = 0.5
    elastic: Annotated[bool, typer.Option("--elastic", help="Show elastic deformation, too.")] = (
        False
    )
    vertical: Annotated[
        bool, typer.Option("--vertical-flip", help="Show flips upside down, too.")
    ] = False
    paste: Annotated[
        float,
        typer.Option(
            "--copy-paste",
            min=0.0,
            max=1.0,
            help="Share of frames that get pieces of the rarest class.",
        ),
    ] = 0.0
    device: Annotated[
        Literal["none", "cpu", "cuda"],
        typer.Option(
            "--device",
            help="Also draw what `search worker --augment device` makes there of the same frames.",
        ),
    ] = "none"
    frames: Annotated[int, typer.Option("--frames", min=1, max=32, help="How many frames.")] = 8
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, max=MOST_SEED, help="Seed of the choice and the augmentation."
        ),
    ] = 0
    size: Size = ""
    window: Window = ""
    ignore: Ignore = ""
    exif: ExifChoice = "turn"
    channels: ChannelsChoice = ""
    force: Force = False
    home: Home = None
    cache: Cache = None


@with_options(PreviewOptions)
@done_by("search.cli.actions.data_preview.preview")
def command(asked: PreviewOptions) -> None:
    """Draw frames and masks before and after augmentation as one picture.

    The data is prepared in the cache for it, where `search init` with the same options finds it.

    \b
    Example:
      search data preview frames.npz --intensity 0.8 --out preview.png
    """
