"""What the README tells people to type."""

import re
from dataclasses import dataclass
from pathlib import Path

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def lines_of(heading: str) -> list[str]:
    """The lines of a section of the README that are to be typed."""
    text = README.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    return [line[4:] for line in text.splitlines() if line.startswith("    ")]


@dataclass(frozen=True)
class Example:
    """A paragraph that begins with a name in bold: the files that it shows, by name, and its lines to be typed."""

    files: dict[str, str]
    lines: list[str]


def examples_of(heading: str) -> dict[str, Example]:
    """Those of a section that have a line to be typed, by the name."""
    text = re.split(r"\n##+ ", README.partition(f"\n### {heading}\n")[2])[0]
    examples = {}
    for paragraph in re.split(r"\n(?=\*\*)", text):
        name = re.match(r"\*\*(.+?)\*\*", paragraph)
        lines = [line[4:] for line in paragraph.splitlines() if line.startswith("    ")]
        if name and lines:
            blocks = re.findall(r"```yaml\n(# ([\w.]+).*?)```", paragraph, re.DOTALL)
            examples[name[1]] = Example({file: text for text, file in blocks}, lines)
    return examples
