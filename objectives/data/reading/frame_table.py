"""Reading of tables with a line for each frame: groups.csv, splits.csv."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from objectives.data.reading.frame_names import frame_meant
from objectives.errors import Problem, UserError

SEPARATORS = ",;\t"  # spreadsheets write any of them, by the country


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
        rows = list(csv_rows(path, ("file", column)))
    except (OSError, UnicodeDecodeError, csv.Error, UserError) as error:
        rule = f"must be a CSV with the columns file,{column}"
        return {}, [Problem(path.name, rule, str(error))]
    held: dict[str, str] = {}
    problems = []
    for line, row in rows:
        where = f"{path.name} line {line}"
        file, said = row.get("file", ""), row.get(column, "")
        name = frame_meant(file, known)
        if name is None:
            problems.append(Problem(where, "must name one of the images", file))
        elif not said:
            problems.append(Problem(where, f"must name a {column}", f"{file} without one"))
        elif held.setdefault(name, said) != said:
            value = f"{file}: {held[name]}, {said}"
            problems.append(Problem(where, f"a file must have one {column}", value))
    return held, problems


def csv_rows(path: Path, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each line but for the header, by column in small letters;
    those of a short line are left away.

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
    if not set(needed) <= set(columns):
        raise UserError(f"the columns {', '.join(columns) or 'none'}")
    for cells in reader:
        if len(cells) > len(columns):
            raise UserError(
                f"line {reader.line_num} with {len(cells)} cells, quote names that hold a "
                f"{separator!r}"
            )
        if cells:
            row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
            yield reader.line_num, row
