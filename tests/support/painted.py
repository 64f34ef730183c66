"""Small pictures, and the files that a folder store has of them."""

from io import BytesIO
from pathlib import Path

from PIL import Image


def png(colour: str) -> bytes:
    """A picture of one colour."""
    stream = BytesIO()
    Image.new("RGB", (64, 32), colour).save(stream, "PNG")
    return stream.getvalue()


def files(tmp_path: Path) -> list[Path]:
    """The files of all pictures in a test's store."""
    return [file for file in (tmp_path / "artifacts" / "pictures").glob("*/*") if file.is_file()]
