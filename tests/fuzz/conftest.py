"""The table of how many fuzz cases ran."""

from collections import defaultdict

import pytest

from tests.support.fuzzing import CASES, COMMAND, FULL, IN_PROCESS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts by target, and their sums, in the full run."""
    if not (FULL and CASES):
        return
    targets: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (way, target), count in CASES.items():
        targets[target][way] = count
    rows = [(target, by.get(IN_PROCESS, 0), by.get(COMMAND, 0)) for target, by in targets.items()]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    terminalreporter.write_line(f"\n{'target':<34}{IN_PROCESS:>12}{COMMAND:>22}")
    for target, inside, outside in rows:
        terminalreporter.write_line(f"{target:<34}{inside:>12,}{outside:>22,}")
