"""Commands on data: check, preview."""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from search.cli.frame_options import FrameOptions, with_options
from search.cli.options import (
    MOST_SEED,
    Cache,
    ExifChoice,
    Force,
    Home,
    Ignore,
    Json,
    Size,
    parse_size,
)
from search.place import name_place

app = typer.Typer(help="Check data before a study is made of it, and look at it.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="PATH", help="npz file, folder with images/ and masks/, or `synthetic`.")]


@app.command("check")
@with_options(FrameOptions)
def check(
    asked: FrameOptions,
    source: Source,
    picture: Annotated[
        Optional[Path],  # noqa: UP045  # typer reads the annotation
        typer.Option("--picture", help="PNG to write: histograms of the classes and of mean pixel values."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Say what a data set holds, what would be dropped, how it would be split, and every problem. Writes nothing else.

    \b
    Example:
      search data check frames.npz --picture frames.png
    """
    from objectives.data.dataset import check as examine
    from objectives.data.dataset import drop_reasons

    options = asked.frames()
    if picture is not None:
        _refuse_picture(picture, "--picture", force=force, source=source)
    report = examine(source, options)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        if report.frames:
            counts = f"{report.frames} frames, {report.kept} kept, {len(report.dropped)} dropped, {report.groups} groups"
            typer.echo(f"{source}: {counts}")
        for line in drop_reasons(report.dropped):
            typer.echo(f"dropped: {line}")
        for name, share in report.classes:
            typer.echo(f"class {name}: {share:.2%} of the pixels")
        for name, count in report.parts:
            typer.echo(f"{name}: {count} frames")
        for warning in report.warnings:
            typer.echo(f"warning: {warning}")
        for problem in report.problems:
            typer.echo(f"problem: {problem}", err=True)
    if report.problems:
        raise typer.Exit(2)
    if picture is not None:
        from objectives.pictures.panels import data_picture

        _write_picture(picture, data_picture(report), force=force)


@app.command("preview")
def preview(
    source: Source,
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")] = Path("preview.png"),
    intensity: Annotated[float, typer.Option("--intensity", min=0.0, max=1.0, help="Augmentation intensity.")] = 0.5,
    elastic: Annotated[bool, typer.Option("--elastic", help="Show elastic deformation, too.")] = False,
    vertical: Annotated[bool, typer.Option("--vertical-flip", help="Show flips upside down, too.")] = False,
    paste: Annotated[
        float, typer.Option("--copy-paste", min=0.0, max=1.0, help="Share of frames that get pieces of the rarest class.")
    ] = 0.0,
    frames: Annotated[int, typer.Option("--frames", min=1, max=32, help="How many frames.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed of the choice and the augmentation.")] = 0,
    size: Size = "",
    ignore: Ignore = "",
    exif: ExifChoice = "turn",
    force: Force = False,
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Draw frames and masks before and after augmentation as one picture.

    The data is prepared in the cache for it, where `search init` with the same options finds it.

    \b
    Example:
      search data preview frames.npz --intensity 0.8 --out preview.png
    """
    import numpy as np

    from objectives.augmentation.copy_paste import FrameAugmenter
    from objectives.config import Augment
    from objectives.data.dataset import DataOptions, open_dataset
    from objectives.output_place import is_stream
    from objectives.pictures.panels import preview_sheet
    from search.study.spec import data_path

    _refuse_picture(out, "--out", force=force, source=source)
    options = DataOptions(size=parse_size(size), ignore=ignore, exif=exif)
    data = open_dataset(data_path(source), options, cache or name_place("", "", home).cache)
    train = data.parts["train"]
    chosen = np.sort(np.random.default_rng(seed).choice(train, min(frames, len(train)), replace=False))
    augment = Augment(intensity=intensity, elastic=elastic, vertical_flip=vertical, copy_paste=paste)
    augmenter = FrameAugmenter(augment, data)
    sheet = preview_sheet(data.images[chosen], data.masks[chosen], data.spec, augmenter, seed)
    _write_picture(out, sheet, force=force)
    typer.echo(f"{len(chosen)} frames drawn to {out}", err=is_stream(out))


def _refuse_picture(out: Path, option: str, *, force: bool, source: str) -> None:
    """Nothing when a picture may be written there; asked before the work begins.

    Raises: UserError when it may not, or the name is that of another kind of file.
    """
    from objectives.errors import UserError
    from objectives.output_place import refuse_output
    from objectives.pictures.panels import is_picture

    if out.suffix.lower() not in ("", ".png"):
        raise UserError(f"{option} must be a PNG, got {out}: a picture is written as nothing else")
    refuse_output(out, "picture", written_here=is_picture, force=force, source=source, option=option)


def _write_picture(out: Path, png: bytes, *, force: bool) -> None:
    from objectives.atomic import file_at_once

    with file_at_once(out, replace=force) as draft:
        draft.write_bytes(png)
