"""Reading of tables with a line for each frame: groups.csv, splits.csv."""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from objectives.data.reading.frame_names import frame_meant
from objectives.errors import Problem, UserError

SEPARATORS = ",;\t"  # spreadsheets write any of them, by the country


@dataclass(frozen=True)
class _Row:
    """One line of the file."""

    line: int
    file: str
    value: str


def read_table(
    path: Path, column: str, known: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """Return what a table with the columns ``file`` and ``column`` says of each frame, by its name,
    and what is wrong; nothing without the file.

    ``known`` are `spellings` of the frames.
    """
    if not os.path.lexists(path):
        return {}, []
    try:
        rows = list(_rows(path, column))
    except (OSError, UnicodeDecodeError, csv.Error, UserError) as error:
        rule = f"must be a CSV with the columns file,{column}"
        return {}, [Problem(path.name, rule, str(error))]
    held: dict[str, str] = {}
    problems = []
    for row in rows:
        where = f"{path.name} line {row.line}"
        name = frame_meant(row.file, known)
        if name is None:
            problems.append(Problem(where, "must name one of the images", row.file))
        elif not row.value:
            problems.append(Problem(where, f"must name a {column}", f"{row.file} without one"))
        elif held.setdefault(name, row.value) != row.value:
            value = f"{row.file}: {held[name]}, {row.value}"
            problems.append(Problem(where, f"a file must have one {column}", value))
    return held, problems


def _rows(path: Path, column: str) -> Iterator[_Row]:
    """Yield the lines but for the header.

    Raises:
        UserError: Columns are missing, or a line has more or fewer cells than the header.
    """
    if not path.is_file():  # a pipe would be waited for without end
        raise UserError("no file")
    text = path.read_text(encoding="utf-8-sig")
    header = text.partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)  # the comma, where there is none
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    columns = [each.strip().lower() for each in next(reader, [])]
    if not {"file", column} <= set(columns):
        raise UserError(f"the columns {', '.join(columns) or 'none'}")
    for cells in reader:
        if len(cells) > len(columns):
            raise UserError(
                f"line {reader.line_num} with {len(cells)} cells, quote names that hold a "
                f"{separator!r}"
            )
        if cells:
            row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
            yield _Row(reader.line_num, row.get("file", ""), row.get(column, ""))
