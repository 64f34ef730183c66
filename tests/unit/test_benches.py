"""Each benchmark is started by make, where it finds what the tests share."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Makefile").read_text().splitlines()


@pytest.mark.parametrize("script", sorted(each.name for each in ROOT.glob("tests/bench*.py")))
def test_a_benchmark_is_a_target_that_finds_the_tests(script: str) -> None:
    (at,) = [place for place, line in enumerate(LINES) if f" tests/{script}" in line]
    assert re.match(r"\t.*(\$\(BENCH\)|PYTHONPATH=\$\(CURDIR\):)", LINES[at])
    targets = [line for line in LINES[:at] if re.match("[a-z-]+:", line)]
    assert targets[-1].startswith(f"{Path(script).stem.replace('_', '-')}: install")
