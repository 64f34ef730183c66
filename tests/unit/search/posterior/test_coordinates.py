"""Configs as points: what is read counts, where it lies in its range."""

import math
import random

import numpy as np
import pytest

from objectives.config import Config
from search.posterior.coordinates import (
    SLOPE,
    Coordinates,
    Number,
    Option,
    coordinates_of,
    points_of,
    values_of,
)
from spaces import Space, load_space
from spaces.dice import FromDice, Near
from spaces.values import Value


@pytest.fixture(scope="module", params=["mars", "small", "tiny"])
def space(request: pytest.FixtureRequest) -> Space:
    return load_space(request.param)


def drawn(space: Space, seed: int, near: Near | None = None) -> tuple[Config, dict[str, Value]]:
    source = FromDice(random.Random(seed), near)
    config = space.draw(source)
    return config, values_of(space, source.answers, config)


def test_equal_configs_are_one_point_and_others_are_not(space: Space) -> None:
    coordinates = coordinates_of(space)
    configs, values = zip(*(drawn(space, seed) for seed in range(30)), strict=True)
    points = points_of(coordinates, values)
    assert points.shape == (30, len(coordinates.fields))
    squared = coordinates.squared(points, points)
    assert (np.diagonal(squared, axis1=1, axis2=2) == 0).all()
    apart = squared.sum(axis=0) > 0
    for i, first in enumerate(configs):
        for j, second in enumerate(configs):
            assert apart[i, j] == (first != second)
    assert (squared >= 0).all()
    assert (squared <= 1).all()


def test_the_control_is_where_nothing_is_read_otherwise(space: Space) -> None:
    coordinates = coordinates_of(space)
    control = values_of(space, space.control, space.default())
    assert (coordinates.of(control) == coordinates.of({})).all()
    assert not coordinates.effects(coordinates.of({})[None]).any()
    near = [drawn(space, seed, Near(space.control, 0.05, 0.95))[1] for seed in range(30)]
    far = [drawn(space, seed)[1] for seed in range(30)]
    near_by, far_off = (
        coordinates.effects(points_of(coordinates, values))[:, 0].mean() for values in (near, far)
    )
    assert near_by < far_off / 2


def test_numbers_lie_in_their_range_and_choices_are_one_apart() -> None:
    coordinates = Coordinates(
        {
            "rate": Number(1e-4, 1e-2, log=True),
            "depth": Number(2, 4),
            "kind": Option(("a", "b", "c")),
        },
        {"rate": 1e-3, "depth": 3, "kind": "a"},
    )
    assert coordinates.of({"rate": 1e-4, "depth": 4, "kind": "c"}).tolist() == [0.0, 1.0, 2.0]
    first, second = coordinates.of({})[None], coordinates.of({"rate": 1e-2, "kind": "b"})[None]
    assert coordinates.squared(first, second)[:, 0, 0].tolist() == pytest.approx([0.25, 0, 1])
    # a half of the range is two units, the squares of which are as far as distance goes
    assert coordinates.effects(second)[0, 0] == pytest.approx((4 + 0 + 1) / 3)
    bends, slopes = coordinates.effects(second)[0, 1:4], coordinates.effects(second)[0, 4:]
    assert bends.tolist() == pytest.approx([4 / 3, 0, 1 / 3])
    assert slopes.tolist() == pytest.approx([SLOPE * 2 / 3**0.5, 0, 0]), "of numbers alone"
    below = coordinates.of({"rate": 1e-4})[None]
    assert coordinates.effects(below)[0, 4] == pytest.approx(-SLOPE * 2 / 3**0.5)
    assert coordinates.of({"rate": 5.0}).tolist()[0] == 1.0, "a value of another space"


def test_choices_among_numbers_are_numbers() -> None:
    fields = coordinates_of(load_space("small")).fields
    filters = fields["model.base_filters"]
    assert filters == Number(16, 24, log=True)
    assert isinstance(fields["augment.elastic"], Option)
    assert filters.at(math.sqrt(16 * 24)) == pytest.approx(0.5)


def test_a_field_that_is_not_read_changes_nothing() -> None:
    space = load_space("mars")
    coordinates = coordinates_of(space)
    assert "optimiser.momentum" in coordinates.fields
    assert "optimiser.momentum" not in values_of(space, space.control, space.default())
