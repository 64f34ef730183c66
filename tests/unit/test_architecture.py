"""docs/architecture.md against the code: its tree of rooms is that of their docstrings, and files
that are named are there.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("search", "spaces", "objectives")
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def first_sentence(file: Path) -> str:
    """What a module says of itself first."""
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert said, file
    return " ".join(said.split("\n\n")[0].split())


def tree(package: str) -> list[str]:
    """A line for each room of a package, folders first."""
    folder = ROOT / package
    rooms = sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file())
    files = sorted(path for path in folder.glob("*.py") if not path.name.startswith("__"))
    lines = [
        f"- `{package}/{room.name}/` - {first_sentence(room / '__init__.py')}" for room in rooms
    ]
    return [*lines, *(f"- `{package}/{file.name}` - {first_sentence(file)}" for file in files)]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tree_of_rooms_is_that_of_the_code(package: str) -> None:
    written = [line for line in TEXT.splitlines() if line.startswith(f"- `{package}/")]
    assert written == tree(package), "\n".join(["docs/architecture.md lacks:", *tree(package)])


# so many files at least
NAMING = [("docs/architecture.md", 40), ("CONTRIBUTING.md", 20), ("docs/glossary.md", 2)]


@pytest.mark.parametrize(("document", "least"), NAMING)
def test_every_file_that_a_document_names_is_there(document: str, least: int) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(
        re.findall(
            r"(?:`| )((?:search|spaces|objectives|tests)/[\w/.-]*\w/?)(?:`|$)", text, re.MULTILINE
        )
    )
    assert len(named) >= least
    assert not [name for name in named if not (ROOT / name).exists()]
    bare = set(re.findall(r"`([a-z_]+\.py)`", text))
    assert not [name for name in bare if not any(ROOT.glob(f"*/**/{name}"))]


def test_every_room_with_decisions_is_linked() -> None:
    linked = set(
        re.findall(r"\]\(\.\./(.*?)\)", (ROOT / "docs/decisions.md").read_text(encoding="utf-8"))
    )
    there = {
        file.relative_to(ROOT).as_posix()
        for package in (*PACKAGES, "deploy")
        for file in (ROOT / package).rglob("DECISIONS.md")
    }
    assert linked == there
