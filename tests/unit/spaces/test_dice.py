"""Draws at random and near a config: always inside the space, uniform or around it as they say."""

import random
from collections import Counter
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import FromParams, load_space
from spaces.dice import FromDice, Near, share_of, value_at

PRESETS = ("mars", "small", "tiny")
SPACES = {name: load_space(name) for name in PRESETS}
MANY = 4000


@given(
    name=st.sampled_from(PRESETS),
    seed=st.integers(0, 2**32),
    near=st.booleans(),
    width=st.floats(1e-6, 3.0),
    keeps=st.floats(0.0, 1.0),
    changes=st.floats(0.0, 1.0),
)
def test_every_draw_is_a_config_of_the_space_and_its_parameters(
    name: str, seed: int, near: bool, width: float, keeps: float, changes: float
) -> None:
    space = SPACES[name]
    around = Near(space.control, width, keeps, changes) if near else None
    source = FromDice(random.Random(seed), around)
    config = space.draw(source)
    assert space.draw(FromParams(source.answers)) == config
    again = FromDice(random.Random(seed), around)
    assert (space.draw(again), again.answers) == (config, source.answers)


def test_near_a_config_without_changes_is_that_config() -> None:
    for space in SPACES.values():
        source = FromDice(random.Random(0), Near(space.control, changes=0.0))
        assert space.draw(source) == space.default()


def drawn(ask: str, **near: float) -> list[float]:
    """Many draws of one number in 0.001..1 (logarithmic), or among 2, 4, 6, 8."""
    found: list[float] = []
    for seed in range(MANY):
        centre = {"x": 0.1 if ask == "log" else 8}
        source = FromDice(random.Random(seed), Near(centre, **near) if near else None)
        if ask == "log":
            found.append(share_of(source.float("x", 1e-3, 1.0, log=True), 1e-3, 1.0, log=True))
        else:
            found.append(source.int("x", 2, 8, step=2))
    return found


def test_uniform_draws_are_uniform() -> None:
    shares = drawn("log")
    assert fmean(shares) == pytest.approx(1 / 2, abs=0.02)
    assert stdev(shares) == pytest.approx(12**-0.5, abs=0.01)
    counts = Counter(drawn("int"))
    assert set(counts) == {2, 4, 6, 8}
    assert all(count == pytest.approx(MANY / 4, rel=0.15) for count in counts.values())


def test_near_draws_lie_around_the_config() -> None:
    shares = drawn("log", width=0.1)  # the centre is at 2 / 3: hardly anything is cut off
    assert fmean(shares) == pytest.approx(2 / 3, abs=0.01)
    assert stdev(shares) == pytest.approx(0.1, abs=0.01)
    counts = Counter(drawn("int", width=0.2))
    assert counts[8] > counts[6] > counts[4] > counts[2] > 0


def test_choices_stay_as_often_as_asked() -> None:
    def stays(**near: float) -> float:
        asked = (
            FromDice(random.Random(seed), Near({"x": "b"}, **near)).choice(
                "x", ("a", "b", "c", "d")
            )
            for seed in range(MANY)
        )
        return Counter(asked)["b"] / MANY

    assert stays(keeps=0.6) == pytest.approx(0.6 + 0.4 / 4, abs=0.03)
    assert stays(keeps=0.0, changes=0.5) == pytest.approx(0.5 + 0.5 / 4, abs=0.03)


def test_what_the_config_lacks_is_drawn_uniformly() -> None:
    found = [
        FromDice(random.Random(seed), Near({}, width=0.01)).float("x", 0.0, 1.0)
        for seed in range(MANY)
    ]
    assert stdev(found) == pytest.approx(12**-0.5, abs=0.01)


@given(st.floats(0.0, 1.0), st.booleans())
def test_shares_and_values_are_inverse(share: float, log: bool) -> None:
    assert share_of(value_at(share, 0.5, 80.0, log=log), 0.5, 80.0, log=log) == pytest.approx(
        share, abs=1e-9
    )
