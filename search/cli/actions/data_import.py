"""An export of a labelling tool written as a folder of frames."""

from pathlib import Path

import typer

from objectives.errors import UserError
from objectives.importing.folder import Unlabelled, write_export
from objectives.importing.formats import Form, read_export


def import_export(
    source: Path,
    out: Path,
    images: Path | None,
    form: Form | None,
    unlabelled: Unlabelled,
) -> None:
    """Write the folder, and print what it holds and what was left out."""
    if images is not None and not images.is_dir():
        raise UserError(f"--images must be a folder, got {images}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder; choose a new folder for --out")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; choose a new folder for --out")
    written = write_export(read_export(source, images, form), out, unlabelled)
    objects = ", ".join(f"{count} of {name}" for name, count in written.objects.most_common())
    typer.echo(f"{out}: {written.frames} frames, objects: {objects}")
    for reason, count in written.left_out.items():
        typer.echo(f"left out: {count} {reason}")
    if written.unused:
        typer.echo(f"left out: classes that no object has: {', '.join(written.unused)}")
    if written.turned:
        typer.echo(
            f"warning: {written.turned} images are turned by their orientation tag, and their shapes lie on the bare "
            f"pixels: say --exif keep"
        )
    typer.echo(f"next: search data check {out}")
