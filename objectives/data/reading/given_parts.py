"""Which part each frame is in, where its owner has decided that: by folders, lists or a table."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from objectives.data.reading.frame_names import frame_meant
from objectives.data.reading.frame_table import read_table
from objectives.data.reading.layout import Layout
from objectives.data.reading.part_words import PART_WORDS, part_named
from objectives.data.reading.settings_files import SPLITS
from objectives.data.reading.yaml_file import read_text
from objectives.errors import Problem

_WORDS = ", ".join(word for words in PART_WORDS.values() for word in words)


def given_parts(
    folder: Path, layout: Layout, by_folder: Mapping[str, str], known: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """Return the part of each frame that has one, by its name, and what is wrong.

    ``by_folder`` are the values of ``{part}``; lists and tables lie in ``folder``, and ``known`` are
    `spellings` of the frames.
    """
    if layout.parts:
        return _listed(folder, layout.parts, known)
    table = folder / (layout.parts_file or SPLITS[0])
    if layout.parts_file and not os.path.lexists(table):
        return {}, [Problem(layout.parts_file, "must be a CSV with the columns file,part", "none")]
    held, problems = read_table(table, "part", known)
    where = table.name
    if by_folder:
        if os.path.lexists(table):
            problems.append(Problem(where, "must not lie beside folders that are parts", where))
        held, where = dict(by_folder), "{part}"
    parts = {name: part_named(word) for name, word in held.items()}
    wrong = sorted({held[name] for name, part in parts.items() if not part})
    problems += [Problem(where, f"a part must be one of {_WORDS}", word) for word in wrong]
    return {name: part for name, part in parts.items() if part}, problems


def _listed(
    folder: Path, lists: Sequence[tuple[str, Sequence[str]]], known: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    parts: dict[str, str] = {}
    problems = []
    for part, files in lists:
        for file in files:
            try:
                lines = read_text(folder / file).splitlines()
            except (OSError, ValueError) as error:
                rule = "must be a text file with the name of one frame a line"
                problems.append(Problem(file, rule, str(error)))
                continue
            for number, line in enumerate(lines, 1):
                if not (text := line.strip()):
                    continue
                where = f"{file} line {number}"
                # more columns may follow the name: a mask, or a flag
                name = frame_meant(text, known) or frame_meant(text.split()[0], known)
                if name is None:
                    problems.append(Problem(where, "must name one of the images", text))
                elif parts.setdefault(name, part) != part:
                    value = f"{text}: {parts[name]}, {part}"
                    problems.append(Problem(where, "a file must have one part", value))
    return parts, problems
