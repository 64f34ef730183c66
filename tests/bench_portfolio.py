"""``make bench-portfolio``: steps from the control that the recorded tables commend, and what those of the other tables are
worth on each: the part that is known to carry over to data of another kind.
"""

import argparse
import json
import random
from collections.abc import Sequence

import numpy as np
from search_bench.parts import GROUND
from search_bench.plans import ALL, Table
from search_bench.portfolio import SIZE, Step, StepsFrom, portfolio, worth
from search_bench.runs import runs_of

from spaces import FromParams
from spaces.fields.schema import flatten
from spaces.fields.simplex import share_paths

SIZES = (1, 2, 4, 8)
RANDOM = 200  # portfolios at random


def main() -> None:
    """Print the portfolio of all tables, and each one's worth on a table that it was not built from."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=SIZE, help="steps (%(default)s)")
    parser.add_argument(
        "--control", default="{}", help="steps from another one: JSON of the parameters that differ"
    )
    asked = parser.parse_args()
    start = StepsFrom({**GROUND.control, **json.loads(asked.control)})
    tables = [table for name, table in ALL.items() if runs_of(name)]
    for table in tables:
        others = [each for each in tables if each is not table]
        if others:
            judged(start, table, others, asked.size)
    steps = start.looked_at(tables)
    gains = [start.gains(table, steps) for table in tables]
    names = " | ".join(table.name for table in tables)
    print(f"\n| step | {names} |\n|---|{'--:|' * len(tables)}")
    for place in portfolio(gains, asked.size):
        shown = " | ".join(
            f"{each.means_S[place]:+.4f} ± {each.sds_S[place]:.4f}" for each in gains
        )
        print(f"| {said(start, steps[place])} | {shown} |", flush=True)


def judged(start: StepsFrom, table: Table, others: Sequence[Table], size: int) -> None:
    """Print what the first steps of the other tables' portfolio are worth on a table, beside its own and random ones."""
    steps = start.looked_at(others)
    chosen = portfolio([start.gains(other, steps) for other in others], size)
    own_steps = start.looked_at([table])
    own_gains = start.gains(table, own_steps)
    own = portfolio([own_gains], size)
    gains = start.gains(table, [steps[place] for place in chosen])
    means = " ".join(f"{mean:+.4f}" for mean in gains.means_S)
    print(f"{table.name}: the steps of the others gain {means}")
    near = near_control(start)
    for number in SIZES:
        print(
            f"{table.name}, first {number}: {worth(gains, range(number)):.4f}, its own "
            f"{worth(own_gains, own[:number]):.4f}, at random near the control {at_random(start, table, near, number):.4f}",
            flush=True,
        )


def near_control(start: StepsFrom) -> list[Step]:
    """Return configs as the service draws neighbours: most values the control's, the others at random."""
    dice = random.Random(0)
    near = GROUND.near(start.control, changes=0.3)
    return [dict(GROUND.drawn(dice, near).params) for _ in range(RANDOM)]


def at_random(start: StepsFrom, table: Table, near: Sequence[Step], number: int) -> float:
    """Return what so many random ones are worth on a table in the mean."""
    gains = start.gains(table, near)
    dice = np.random.default_rng(0)
    draws = [dice.choice(len(near), number, replace=False).tolist() for _ in range(RANDOM)]
    return float(np.mean([worth(gains, each) for each in draws]))


def said(start: StepsFrom, step: Step) -> str:
    """Return a step as a space file has it."""
    config, control = (
        flatten(GROUND.space.draw(FromParams({**start.control, **each}))) for each in (step, {})
    )
    changed = {name: value for name, value in config.items() if control.get(name) != value}
    if any(name.startswith("loss.") and name in share_paths() for name in changed):
        changed |= {name: config[name] for name in share_paths() if config.get(name)}
    values = {
        name: float(f"{value:.2g}") if isinstance(value, float) else value
        for name, value in changed.items()
    }
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"


if __name__ == "__main__":
    main()
