"""A picture at a place that a person names."""

from pathlib import Path

from objectives.errors import UserError
from objectives.outputs.atomic import file_at_once
from objectives.outputs.place import refuse_output
from objectives.pictures.figures import is_picture


def refuse_picture(out: Path, option: str, *, force: bool, source: str) -> None:
    """Refuse to write a picture where something else stands; asked before the work begins.

    Raises:
        UserError: It may not, or the name is that of another kind of file.
    """
    if out.suffix.lower() not in ("", ".png"):
        raise UserError(f"{option} must be a PNG, got {out}: a picture is written as nothing else")
    refuse_output(
        out, "picture", written_here=is_picture, force=force, source=source, option=option
    )


def write_picture(out: Path, png: bytes, *, force: bool) -> None:
    """Write a picture, whole or not at all."""
    with file_at_once(out, replace=force) as draft:
        draft.write_bytes(png)
