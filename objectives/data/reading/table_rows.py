"""The rows of a table that names images and masks: CSV, or a JSON object a line, as the image
folders of Hugging Face have it.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from objectives.data.reading.frame_table import csv_rows
from objectives.errors import UserError

JSON_LINES = (".jsonl", ".ndjson")
_LOOKED_AT = 1000  # rows: an image without objects has no mask
UNREADABLE = (OSError, UnicodeDecodeError, csv.Error, UserError)


@dataclass(frozen=True)
class TableRow:
    """What one row says: paths as they are written, empty where it says nothing."""

    line: int
    image: str
    mask: str


def read_rows(path: Path, columns: tuple[str, str]) -> Iterator[TableRow]:
    """Yield the rows of a table; ``columns`` are those of images and masks.

    Raises:
        UserError: Columns are missing, or a line is none of such a table.
        OSError: It cannot be read.
        UnicodeDecodeError: It is no text.
        Exception: `csv.Error`, where it is no CSV.
    """
    if path.suffix.lower() in JSON_LINES:
        yield from _json_rows(path, columns)
        return
    for line, cells in csv_rows(path, [column.lower() for column in columns]):
        yield TableRow(line, *(cells.get(column.lower(), "") for column in columns))


def _json_rows(path: Path, columns: tuple[str, str]) -> Iterator[TableRow]:
    for line, content in _json_lines(path):
        if columns[0] not in content:
            raise UserError(f"line {line} without {columns[0]}")
        held = [content.get(column) for column in columns]
        if odd := [value for value in held if value is not None and not isinstance(value, str)]:
            raise UserError(f"line {line} with a {type(odd[0]).__name__} where one file is named")
        yield TableRow(line, *(str(value or "") for value in held))


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a file of JSON lines with its line.

    Raises:
        UserError: A line is none.
    """
    if not path.is_file():  # a pipe would be waited for without end
        raise UserError("no file")
    for line, text in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not text.strip():
            continue
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"line {line} that is no JSON") from error
        if not isinstance(content, dict):
            raise UserError(f"line {line} that is no object")
        yield line, content


def first_cells(path: Path) -> dict[str, str]:
    """Return the first text of each column, of the first rows; none where there is no such table."""
    found: dict[str, str] = {}
    try:
        rows = _json_lines(path) if path.suffix.lower() in JSON_LINES else csv_rows(path, ())
        for _, cells in islice(rows, _LOOKED_AT):
            for column, cell in cells.items():
                if isinstance(cell, str) and cell:
                    found.setdefault(column, cell)
    except UNREADABLE:
        return {}
    return found
