"""The later parts of a table's plan, which what was recorded before decides."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from search.posterior.belief import Belief, Believer, Run
from search.posterior.ground import SpaceGround, Tried
from search.posterior.proposal import propose
from search.posterior.standing import standing_of
from search.process.messages import Cause
from search_bench.plans import (
    BEST,
    CONTROL,
    EACH,
    FEW,
    MORE_TURNS,
    REPEATS,
    SPACE,
    TURNS,
    Planned,
    Table,
    extend,
    first_runs,
    plan_of,
)
from search_bench.runs import Recorded, runs_of
from spaces import load_space
from spaces.values import Scalar

Runs = Iterable[tuple[str, Mapping[str, Scalar], int]]
GROUND = SpaceGround(load_space(str(SPACE)))


def next_part(table: Table) -> Runs | None:
    """Return the runs of the first part that a table's plan lacks; None when it has all.

    Raises:
        SystemExit: Not all runs of the parts before are recorded.
    """
    plan, recorded = plan_of(table), runs_of(table.name)
    if not plan:
        return first_runs(table, GROUND.space)
    if lacking := [each.number for each in plan if each.number not in recorded]:
        raise SystemExit(f"bench-tables: {len(lacking)} of {len(plan)} runs are not recorded yet")
    if not any(each.config.startswith("proposed") for each in plan):
        return proposed_runs(table, plan, recorded)
    if not any(each.turn for each in plan):
        return fresh_runs(plan, recorded)
    if not any(each.turn > TURNS for each in plan):
        return further_runs(plan)
    return None


def proposed_runs(
    table: Table, plan: list[Planned], recorded: Mapping[int, Recorded]
) -> Iterator[tuple[str, Mapping[str, Scalar], int]]:
    """Yield the configs that the model proposes, one after the other, each taken to score as it is
    expected to; each has one run before any has its second.
    """
    dice = random.Random(f"{table.name} {table.seed} proposed")
    believer = believer_of(plan, recorded)
    tried = list({each.config: GROUND.tried(each.params) for each in plan}.values())
    proposed: list[Tried] = []
    for _ in range(EACH):
        after = believer.believing([each.values for each in proposed]) if proposed else believer
        found = propose(GROUND, after, [*tried, *proposed], dice)
        proposed.append(GROUND.tried(found.params))
    for _ in range(REPEATS):
        for number, each in enumerate(proposed):
            yield f"proposed {number}", each.params, 0


def fresh_runs(
    plan: list[Planned], recorded: Mapping[int, Recorded]
) -> Iterator[tuple[str, Mapping[str, Scalar], int]]:
    """Yield the control and the configs that are believed best, all once with each turn."""
    params = {each.config: each.params for each in plan}
    others = [config for config in params if config != CONTROL]
    values = [GROUND.tried(params[config]).values for config in others]
    means_C = believer_of(plan, recorded).of(values).means_C[:-1]
    best = [others[int(place)] for place in (-means_C).argsort(kind="stable")[:BEST]]
    for turn in range(1, TURNS + 1):
        for config in (CONTROL, *best):
            yield config, params[config], turn


def further_runs(plan: list[Planned]) -> Iterator[tuple[str, Mapping[str, Scalar], int]]:
    """Yield the control and the first of the fresh runs' configs, all once with each further turn."""
    first = [each for each in plan if each.turn == 1]
    for turn in range(TURNS + 1, TURNS + MORE_TURNS + 1):
        for each in first[: 1 + FEW]:
            yield each.config, each.params, turn


def believer_of(plan: list[Planned], recorded: Mapping[int, Recorded]) -> Believer:
    """Return what is believed by all recorded runs."""
    runs = [
        Run(GROUND.tried(each.params).values, run.scores_E, run.cause == Cause.COMPLETED)
        for each in plan
        if (run := recorded[each.number]).scores_E.size
    ]
    return Believer(GROUND.coordinates, runs, GROUND.epochs)


def write_next_part(table: Table) -> bool:
    """Add the next part to a table's plan; False when it has all."""
    runs = next_part(table)
    if runs is None:
        return False
    extend(table, list(runs))
    return True


def best_of(belief: Belief, places: Sequence[int]) -> int:
    """Return which of these configs the service would hand out: the highest mean among those that surely beat the
    control, else the control where it is one of them, else the highest mean.
    """

    def rank(place: int) -> tuple[int, float]:
        beats = None if belief.is_control(place) else float(belief.beats_control_C[place])
        return standing_of(beats), float(belief.means_C[place])

    return max(places, key=rank)
