"""What the README tells people to type."""

from pathlib import Path

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def lines_of(heading: str) -> list[str]:
    """The lines of a section of the README that are to be typed."""
    text = README.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    return [line[4:] for line in text.splitlines() if line.startswith("    ")]
