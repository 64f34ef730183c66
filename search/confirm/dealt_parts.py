"""Which places a run of a confirmation validated on: as text in its trial, and what to say of how
the parts differ.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

from search.confirm.cell import Cell


def places_text(places: Iterable[int]) -> str:
    """Return numbers of places as ascending runs: ``0-3 7 12-13``. Equal sets give equal texts."""
    runs: list[list[int]] = []
    for place in sorted(set(places)):
        if runs and place == runs[-1][1] + 1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def places_of(text: str) -> frozenset[int]:
    """Return the places that `places_text` wrote."""
    pairs = [run.partition("-") for run in text.split()]
    return frozenset(
        place for first, _, last in pairs for place in range(int(first), int(last or first) + 1)
    )


def parts_told(runs: Sequence[Cell], *, folds: bool = False) -> tuple[str, ...]:
    """Return what to know of the validation parts that runs with scores were judged on, a sentence
    each; none to tell, none said. ``folds``: they are those.
    """
    known = [run for run in runs if not math.isnan(run.score) and run.part]
    parts = sorted({run.part for run in known})
    told = _folds(len(parts)) if folds else _difference(parts, len({run.seed for run in known}))
    return (*told, *_classes(known, parts))


def _folds(count: int) -> Iterable[str]:
    """Source: Bengio and Grandvalet 2004 (No Unbiased Estimator of the Variance of K-Fold
    Cross-Validation), section 4.
    """
    if count > 1:
        yield (
            f"{count} folds validated on places of their own each; their trainings share frames, so "
            f"that intervals may be somewhat too narrow"
        )


def _difference(parts: Sequence[str], seeds: int) -> Iterable[str]:
    if seeds < 2:
        return
    if len(parts) == 1:
        yield (
            f"all {seeds} seeds validated on one part: nothing is known of how much other parts "
            f"would move a score"
        )
        return
    shares = [
        2 * len(one & other) / (len(one) + len(other))
        for one, other in combinations(map(places_of, parts), 2)
    ]
    share = 100 * sum(shares) / len(shares)
    sentence = (
        f"{seeds} seeds validated on {len(parts)} different parts, two of which share "
        f"{share:.0f} % of their places on average"
    )
    few = (
        "; the data have too few places for more, and intervals count parts, not seeds"
        if len(parts) < seeds
        else ""
    )
    yield sentence + few


def _classes(known: Sequence[Cell], parts: Sequence[str]) -> Iterable[str]:
    """Yield which parts lack a class: their scores are over the others, so that parts are not quite
    alike.
    """
    there = {
        part: {name for run in known if run.part == part for name in run.per_class}
        for part in parts
    }
    for name in sorted(set().union(*there.values())):
        absent = sum(name not in names for names in there.values())
        if absent:
            yield (
                f"{name} does not occur in {absent} of the {len(parts)} parts, whose score is "
                f"over the other classes"
            )
