"""Parts at random within a tolerance: they differ between seeds as random ones do, and are balanced
where they can be.
"""

import time
from itertools import combinations

import numpy as np
import pytest

from objectives.data.preparing.split import TOLERANCE, deal, split

SHARES = (0.8, 0.1, 0.1)
SEEDS = range(12)


def places(count: int, rare: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Frames (N,) of so many places, and their pixels (N, 4) of four classes; the last
    one is rare.
    """
    generator = np.random.default_rng(count)
    groups = np.repeat(np.arange(count), generator.integers(2, 7, count))
    pixels = generator.random((len(groups), 4)) * (2000, 900, 400, 50)
    pixels[:, 3] *= (generator.random(count) < rare)[groups]
    return groups, pixels.astype(np.int64)


def validation_places(count: int) -> list[frozenset[int]]:
    groups, pixels = places(count)
    return [
        frozenset(groups[split(groups, pixels, SHARES, seed)["validation"]].tolist())
        for seed in SEEDS
    ]


@pytest.mark.parametrize(
    ("count", "different", "overlap"),
    [(10, 5, 0.4), (16, 7, 0.3), (24, 10, 0.2), (40, 12, 0.15), (80, 12, 0.12)],
)
def test_seeds_give_different_parts(count: int, different: int, overlap: float) -> None:
    parts = validation_places(count)
    assert len(set(parts)) >= different
    shared = [len(one & other) / len(one | other) for one, other in combinations(parts, 2)]
    assert np.mean(shared) < overlap


def test_all_but_some_places_validate_sooner_or_later() -> None:
    """Of 80 places with 8 in each part, 12 random parts hold 57."""
    assert len(frozenset().union(*validation_places(80))) > 50


@pytest.mark.parametrize("count", [80, 300, 776])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_frames_and_the_rarest_class_are_within_the_tolerance_where_places_are_many(
    count: int, seed: int
) -> None:
    groups, pixels = places(count)
    parts = split(groups, pixels, SHARES, seed)
    for share, indices in zip(SHARES, parts.values(), strict=True):
        assert abs(len(indices) / len(groups) / share - 1) <= TOLERANCE
        assert abs(pixels[indices, 3].sum() / pixels[:, 3].sum() / share - 1) <= TOLERANCE


@pytest.mark.parametrize("seed", range(6))
def test_a_class_of_few_places_is_in_every_part_that_it_can_be_in(seed: int) -> None:
    groups, pixels = places(60)
    for holders, parts_with_it in (
        (1, {"train"}),
        (2, {"train"}),
        (3, {"train", "validation", "test"}),
    ):
        pixels[:, 3] = np.isin(groups, (5, 17, 40)[:holders]) * 30
        parts = split(groups, pixels, SHARES, seed)
        assert {
            name for name, indices in parts.items() if pixels[indices, 3].any()
        } >= parts_with_it


def test_a_large_data_set_is_dealt_in_a_moment() -> None:
    groups, pixels = places(776)
    began = time.process_time()
    deal(groups, pixels, (0.9, 0.1), 0)
    assert time.process_time() - began < 2.0
