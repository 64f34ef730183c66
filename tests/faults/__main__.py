"""``make faults``: every fault for real, and a table of what became of the trials.

python tests/faults [--only NAME ...] [--out FILE] [--at-once 2]
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import budgets
import clocks
import containers
import doors
import failovers
import killing
import moments
import neighbours
import neighbours_of_run
import orders
import outages
import poolers
import sabotage
import sleepers
import upgrades
import verdicts
import witnesses
from audit import HEAD, Row

OUTSIDE: tuple[Callable[[], Row], ...] = (
    *sabotage.ALL,
    *killing.ALL,
    *moments.ALL,
    *sleepers.ALL,
    *orders.ALL,
    *outages.ALL,
    *failovers.ALL,
    *poolers.ALL,
    *upgrades.ALL,
    *verdicts.ALL,
    *witnesses.ALL,
    *neighbours.ALL,
    *clocks.ALL,
    *budgets.ALL,
    *doors.ALL,
    *neighbours_of_run.ALL,
)
# sixteen workers at once, or seconds that are judged, or one stack for all
ALONE = (
    killing.terminated_workers,
    outages.first_start,
    neighbours_of_run.killed_run,
    *budgets.ALL,
    *containers.ALL,
)
EVERYTHING = {each.__name__: each for each in (*OUTSIDE, *containers.ALL)}


def main() -> int:
    """Run the scenarios; 0 when everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--containers", action="store_true", help="The faults of containers; needs docker."
    )
    parser.add_argument("--only", nargs="*", choices=sorted(EVERYTHING), default=[])
    parser.add_argument("--out", type=Path, default=None, help="Markdown file for the table.")
    parser.add_argument(
        "--at-once", type=int, default=2, help="Scenes at a time: most of them mostly wait."
    )
    asked = parser.parse_args()
    names = asked.only or [
        each.__name__ for each in (containers.ALL if asked.containers else OUTSIDE)
    ]
    for line in left_out():
        print(line, flush=True)
    rows = run_all(names, asked.at_once)
    table = markdown([rows[name] for name in names])
    print(f"\n{table}")
    if asked.out:
        asked.out.write_text(table)
    return int(any(row.wrong for row in rows.values()))


def run_all(names: list[str], at_once: int) -> dict[str, Row]:
    """The scenarios by name, ``at_once`` of them at a time, in as many processes; then those that
    want the machine.
    """
    together = [name for name in names if EVERYTHING[name] not in ALONE]
    rows: dict[str, Row] = {}
    for some, processes in (
        (together, at_once),
        ([name for name in names if name not in together], 1),
    ):
        with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
            rows |= dict(zip(some, pool.map(run_one, some), strict=True))
    return rows


def run_one(name: str) -> Row:
    """A scenario, and a word about it when it begins and ends."""
    began = time.monotonic()
    print(f"{name}: {' '.join(str(EVERYTHING[name].__doc__).split())}", flush=True)
    try:
        row = EVERYTHING[name]()
    # a scenario that breaks is a line of the table, and the next one runs
    except Exception as error:
        traceback.print_exc()
        why, *_ = str(error).splitlines() or ["no word of why"]
        row = Row(name, 0, 0, 0, 0, False, 0, 0.0, [f"{type(error).__name__}: {why[:200]}"])
    row.seconds = time.monotonic() - began
    print(f"  {name}: {'; '.join(row.wrong) or 'holds'} ({row.seconds:.0f} s)", flush=True)
    return row


def left_out() -> list[str]:
    """What this machine cannot do."""
    lines = (
        []
        if shutil.which("cc")
        else ["clocks and held memory are left out: they need a C compiler"]
    )
    lines += [] if poolers.ALL else ["the pooler is left out: it needs pgbouncer"]
    return lines if os.geteuid() == 0 else [*lines, "full disks are left out: they need root"]


def markdown(rows: list[Row]) -> str:
    """The table."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
