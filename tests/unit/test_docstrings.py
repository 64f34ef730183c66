"""Docstrings have one format for what is raised: a section, an error a line, what has happened as a
sentence.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    file
    for package in ("objectives", "spaces", "search")
    for file in (ROOT / package).rglob("*.py")
)
INLINE = re.compile(r"(?:^|\s)(?:\*Raises\*|Raises: *\S)")
ENTRY = re.compile(r"(?:\w+Error|Exception|ArtifactNotFound): (?:[A-Z`\"'0-9]|smp )")


def docstrings(file: Path) -> Iterator[str]:
    """Every docstring of a file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            text := ast.get_docstring(node)
        ):
            yield text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_what_is_raised_stands_in_a_section_of_its_own(file: Path) -> None:
    for text in docstrings(file):
        assert not INLINE.search(text), text
        section = text.partition("\nRaises:\n")[2].partition("\n\n")[0]
        entries = [
            line
            for line in section.splitlines()
            if line.startswith("    ") and not line.startswith("     ")
        ]
        assert all(ENTRY.match(line.strip()) for line in entries), section
        assert not section or entries, text
