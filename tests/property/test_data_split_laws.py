import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.data.preparing.duplicates import in_order_of_appearance
from objectives.data.preparing.split import split

SHARES = (0.8, 0.1, 0.1)


@st.composite
def grouped_frames(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    names = draw(st.lists(st.integers(0, 12), min_size=1, max_size=60))
    classes = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 1000))
    counts = np.random.default_rng(seed).integers(-200, 200, (len(names), classes)).clip(0)
    return in_order_of_appearance(names), counts


@settings(max_examples=25, deadline=None)
@given(grouped_frames(), st.integers(0, 5))
def test_parts_are_disjoint_whole_and_repeatable(
    frames: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    groups, counts = frames
    parts = split(groups, counts, SHARES, seed)
    placed = np.concatenate(list(parts.values()))
    assert sorted(placed.tolist()) == list(range(len(groups)))
    seen = [set(groups[indices].tolist()) for indices in parts.values()]
    assert sum(map(len, seen)) == len(set(groups.tolist()))
    assert all((np.diff(indices) > 0).all() for indices in parts.values())
    again = split(groups, counts, SHARES, seed)
    assert all(np.array_equal(parts[name], again[name]) for name in parts)


@settings(max_examples=25, deadline=None)
@given(grouped_frames())
def test_no_part_is_empty_when_three_groups_exist(frames: tuple[np.ndarray, np.ndarray]) -> None:
    groups, counts = frames
    sizes = [len(indices) for indices in split(groups, counts, SHARES, 0).values()]
    assert (min(sizes) > 0) == (len(set(groups.tolist())) >= 3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=3), max_size=30), st.text(min_size=1, max_size=3))
def test_numbers_do_not_depend_on_what_groups_are_called(names: list[str], prefix: str) -> None:
    assert np.array_equal(
        in_order_of_appearance(names), in_order_of_appearance([prefix + name for name in names])
    )
