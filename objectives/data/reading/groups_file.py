"""Reading of groups.csv: which frames of a folder belong together."""

import csv
import io
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from objectives.data.reading.raster import SUFFIXES
from objectives.errors import Problem, UserError

SEPARATORS = ",;\t"  # spreadsheets write any of them, by the country


@dataclass(frozen=True)
class _Row:
    """One line of the file."""

    line: int
    file: str
    group: str


def read_groups(
    path: Path, names: Sequence[str], images: Mapping[str, Path]
) -> tuple[tuple[str, ...], list[Problem]]:
    """Return the group of each name, and what is wrong; a file may stand there with or without
    ``images/`` and its suffix.
    """
    if not os.path.lexists(path):
        return (), []
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError, csv.Error, UserError) as error:
        return (), [Problem(path.name, "must be a CSV with the columns file,group", str(error))]
    root = path.parent
    known = {alias: name for name, image in images.items() for alias in (name, name + image.suffix)}
    groups: dict[str, str] = {}
    problems = []
    for row in rows:
        name = _name_of(row.file, known)
        if name is None:
            problems.append(
                Problem(f"groups.csv line {row.line}", "must name a file in images/", row.file)
            )
        elif not row.group:
            problems.append(
                Problem(
                    f"groups.csv line {row.line}", "must name a group", f"{row.file} without one"
                )
            )
        elif groups.setdefault(name, row.group) != row.group:
            value = f"{row.file}: {groups[name]}, {row.group}"
            problems.append(
                Problem(f"groups.csv line {row.line}", "a file must have one group", value)
            )
    problems += [
        Problem(
            images[name].relative_to(root).as_posix(), "must have a group in groups.csv", "none"
        )
        for name in names
        if name not in groups
    ]
    return (() if problems else tuple(groups[name] for name in names)), problems


def _name_of(file: str, known: Mapping[str, str]) -> str | None:
    """Return the frame that a row means: Windows writes sub\\a.png, and a converted image keeps its
    group.
    """
    written = unicodedata.normalize("NFC", file)
    for spelled in (written, written.replace("\\", "/")):
        path = spelled.removeprefix("./").removeprefix("images/")
        if name := known.get(path) or known.get(_without_suffix(path)):
            return name
    return None


def _without_suffix(path: str) -> str:
    stem, suffix = os.path.splitext(path)  # noqa: PTH122 - it is text
    return stem if suffix.lower() in SUFFIXES else path


def _rows(path: Path) -> Iterator[_Row]:
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
    columns = [column.strip().lower() for column in next(reader, [])]
    if not {"file", "group"} <= set(columns):
        raise UserError(f"the columns {', '.join(columns) or 'none'}")
    for cells in reader:
        if len(cells) > len(columns):
            raise UserError(
                f"line {reader.line_num} with {len(cells)} cells, quote names that hold a "
                f"{separator!r}"
            )
        if cells:
            row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
            yield _Row(reader.line_num, row.get("file", ""), row.get("group", ""))
