"""``make faults``: every fault for real, one after the other, and a table of what became of the trials.

python tests/faults [--only NAME ...] [--out FILE]
"""

import argparse
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

import budgets
import clocks
import containers
import killing
import moments
import orders
import outages
import sabotage
import sleepers
import verdicts
from audit import HEAD, Row


def main() -> int:
    """Run the scenarios; 0 when everything holds."""
    inside = containers.ALL
    outside = (
        *sabotage.ALL,
        *killing.ALL,
        *moments.ALL,
        *sleepers.ALL,
        *orders.ALL,
        *outages.ALL,
        *verdicts.ALL,
        *clocks.ALL,
        *budgets.ALL,
    )
    everything = {each.__name__: each for each in (*outside, *inside)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", action="store_true", help="The faults of containers; needs docker.")
    parser.add_argument("--only", nargs="*", choices=sorted(everything), default=[])
    parser.add_argument("--out", type=Path, default=None, help="Markdown file for the table.")
    asked = parser.parse_args()
    names = asked.only or [each.__name__ for each in (inside if asked.containers else outside)]
    for line in left_out():
        print(line, flush=True)
    rows = []
    for name in names:
        began = time.monotonic()
        print(f"{name}: {everything[name].__doc__}", flush=True)
        try:
            row = everything[name]()
        except Exception as error:  # a scenario that breaks is a line of the table, and the next one runs
            traceback.print_exc()
            row = Row(name, 0, 0, 0, 0, False, 0, 0.0, [f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"])
        row.seconds = time.monotonic() - began
        rows.append(row)
        print(f"  {'; '.join(row.wrong) or 'holds'} ({row.seconds:.0f} s)", flush=True)
    table = markdown(rows)
    print(f"\n{table}")
    if asked.out:
        asked.out.write_text(table)
    return int(any(row.wrong for row in rows))


def left_out() -> list[str]:
    """What this machine cannot do."""
    lines = [] if shutil.which("cc") else ["clocks are left out: they need a C compiler"]
    return lines if os.geteuid() == 0 else [*lines, "full disks are left out: they need root"]


def markdown(rows: list[Row]) -> str:
    """The table."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
