"""The confirmation's interval over dealt parts covers as stated, however few places there are:
places, deals and all.

Candidates have a true score on every place. Parts are dealt as `resplit` deals them, and a run
scores the mean of its part's places. The interval is to hold the mean over all places that may
validate.
"""

import math

import numpy as np
import pytest

from objectives.data.preparing.split import deal
from objectives.statistics.interval import Interval
from search.confirm.cell import Cell
from search.confirm.dealt_parts import places_text
from search.confirm.verdict import confirm

CANDIDATES, LEVEL = 3, 0.95
# deviations: of places, of a candidate on a place, and of training
PLACE, INTERACTION, NOISE = 0.06, 0.02, 0.005


def covered(generator: np.random.Generator, places: int, seeds: int) -> float | None:
    """The share of the candidates whose interval holds the truth; None where there is no
    interval.
    """
    groups = np.repeat(np.arange(places), generator.integers(2, 8, places))
    pixels = generator.random((len(groups), 3)) * (1000, 500, 50)
    pixels[:, 2] *= (generator.random(places) < 0.5)[groups]
    quality = (
        0.6
        + generator.normal(0, PLACE, places)
        + generator.normal(0, INTERACTION, (CANDIDATES, places))
    )
    runs = []
    for seed in range(seeds):
        chosen = np.unique(
            groups[
                deal(groups, pixels.astype(int), (8 / 9, 1 / 9), int(generator.integers(2**31)))[1]
            ]
        )
        scores = quality[:, chosen].mean(axis=1) + generator.normal(0, NOISE, CANDIDATES)
        runs += [
            Cell(number, seed, float(score), part=places_text(chosen.tolist()))
            for number, score in enumerate(scores)
        ]
    verdict = confirm(runs, 0, level=LEVEL)
    truth = quality.mean(axis=1)
    held = [
        each.interval.low <= truth[each.candidate] <= each.interval.high
        for each in verdict.candidates
        if isinstance(each.interval, Interval)
    ]
    return float(np.mean(held)) if held else None


@pytest.mark.parametrize(("places", "seeds"), [(6, 10), (16, 10), (40, 3), (80, 5)])
def test_the_interval_covers_the_mean_over_places(places: int, seeds: int) -> None:
    generator, repeats = np.random.default_rng(places + seeds), 24
    found = [
        share for _ in range(repeats) if (share := covered(generator, places, seeds)) is not None
    ]
    assert len(found) > 0.6 * repeats
    # candidates share their places: their three count as one
    error = math.sqrt(LEVEL * (1 - LEVEL) / len(found))
    # 0.04: few unequal parts, and degrees of freedom that are estimated
    assert np.mean(found) > LEVEL - 0.04 - 2.5 * error
